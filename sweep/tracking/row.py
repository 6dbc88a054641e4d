"""The row of a run, put right where it stands: TensorBoard keeps the first that it is told."""

from __future__ import annotations

from pathlib import Path

from sweep.tracking import hparams
from sweep.tracking.events import EventFile, event_files, rewrite
from sweep.tracking.hparams import Session
from sweep.tracking.read import find_row


def mend_row(run: Path, session: Session) -> bool:
    """See that a run's row shows what is known now; nobody writes to its files any more.

    The attempt that wrote it may have been killed before it had asked for all its parameters. A TensorBoard
    that has read it stays with what it has read.

    Args:
        run: the trial's directory.
        session: with all its parameters.

    Returns:
        whether there is a row.
    """
    row = find_row(run)
    if row is None:
        return False
    start = hparams.mended_start(row.content, session.cells)
    if start is not None:
        rewrite(row.path, row.span, start)
        if row.path == event_files(run)[-1]:
            # A TensorBoard that follows the old file would not see what is written behind it any more.
            EventFile(run).finish()
    return True
