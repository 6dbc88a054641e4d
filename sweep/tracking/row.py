"""Updates the first session start record of a run, which is the one that TensorBoard shows."""

from __future__ import annotations

from pathlib import Path

from sweep.tracking import hparams
from sweep.tracking.events import EventFile, event_files, replace_summary
from sweep.tracking.hparams import Session
from sweep.tracking.read import find_row


def update_row(run: Path, session: Session) -> bool:
    """Ensure that a run's row has all parameters that are known now. Its files are no longer written to.

    The attempt that wrote it may have been killed before it had suggested all its parameters. A TensorBoard
    that has read the row already keeps showing the old one.

    Args:
        run: the trial's directory.
        session: the row with all parameters.

    Returns:
        whether there is a row.
    """
    row = find_row(run)
    if row is None:
        return False
    start = hparams.updated_session_start(row.content, session.cells)
    if start is not None:
        replace_summary(row.path, row.span, start)
        if row.path == event_files(run)[-1]:
            # A TensorBoard that follows the replaced file would not see what is appended to the new one.
            EventFile(run).finish()
    return True
