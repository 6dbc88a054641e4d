"""The TensorBoard records that the controller writes: the columns, and each trial's outcome."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from sweep.tracking import hparams
from sweep.tracking.events import EventFile, event_files, last_event_file
from sweep.tracking.foreign import clean_up
from sweep.tracking.hparams import Column, Session
from sweep.tracking.row import update_row


def declare_experiment(
    root: Path, columns: Iterable[Column], metrics: Iterable[str], description: str
) -> None:
    """Write the experiment record of a sweep, unless it exists already.

    It is written elsewhere and moved into place: if the sweep is killed, it has none or a complete one.
    """
    if event_files(root):
        return
    temporary = EventFile(root / ".experiment")
    temporary.add_summary(hparams.experiment(columns, metrics, description, time.time()))
    temporary.sync()
    temporary.finish()
    temporary.path.replace(root / temporary.path.name)
    shutil.rmtree(temporary.path.parent)


def end_session(run: Path, session: Session, success: bool, is_whole: bool, ended: float) -> None:
    """Write the outcome of a trial, once it is final: TensorBoard keeps the first.

    Args:
        run: the trial's directory.
        session: the row, which is written here if it is missing.
        success: whether the trial was complete or pruned.
        is_whole: whether the worker has closed its event file. If it was killed, the file may end with an
            incomplete record, after which nothing is read, and the outcome needs another file. The files of
            other writers are hidden here.
        ended: the end time in seconds since the epoch.
    """
    if not is_whole:
        clean_up(run)
    end = hparams.session_end(success, ended)
    # The worker died before it wrote the row, or the objective removed its directory.
    if not event_files(run) or not (is_whole or update_row(run, session)):
        file = EventFile(run)
        file.add_summary(hparams.session_start(session))
    elif is_whole:
        file = last_event_file(run)
    else:
        file = EventFile(run)
    file.add_summary(end)
    file.finish()
