"""`CombinedLogdir`: a log directory in which TensorBoard shows several sweeps at once, running or not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from sweep.system.repeating import RepeatedCall
from sweep.tracking.events import event_files
from sweep.tracking.hparams import EXPERIMENT_TAG
from sweep.tracking.records import CorruptFileError, read_records
from sweep.tracking.tensorboardx import RecordFile

_INTERVAL = 2.0
"""Seconds between looks for new trials; TensorBoard looks every five seconds."""


class CombinedLogdir:
    """A context manager that yields a temporary log directory; a thread follows the sweeps until the end.

    It links the directories of the trials, and copies the root runs without their HParams experiments: of
    several experiments TensorBoard takes one at random, and hides the columns of all other sweeps. Without
    any, it infers the columns from the rows. The sweeps' own directories are only read.

    Args:
        sweeps: the directories of the sweeps by their names.
    """

    def __init__(self, sweeps: Mapping[str, Path]) -> None:
        self._sweeps = sweeps
        self._read: dict[Path, int] = {}
        """How far each event file of a root run has been copied, in bytes."""
        self._updates = RepeatedCall(_INTERVAL, "sweep-logdir")

    def __enter__(self) -> Path:
        self._folder = TemporaryDirectory(prefix="sweep-tensorboard-", ignore_cleanup_errors=True)
        self._update()
        self._updates.start(self._update)
        return Path(self._folder.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._updates.stop()
        self._folder.cleanup()

    def _update(self) -> None:
        for name, root in self._sweeps.items():
            run = Path(self._folder.name) / name
            run.mkdir(exist_ok=True)
            with suppress(OSError):  # the sweep has just been moved away
                _link_trials(root, run)
                for file in event_files(root):
                    self._copy(file, run / file.name)

    def _copy(self, source: Path, target: Path) -> None:
        """Append what is new in an event file, except HParams experiments."""
        records = RecordFile(target)
        with suppress(CorruptFileError):
            for content, end in read_records(source, self._read.get(source, 0)):
                assert content is not None
                if EXPERIMENT_TAG.encode() not in content:
                    records.write(content)
                self._read[source] = end
        records.close()


def _link_trials(root: Path, run: Path) -> None:
    known = set(os.listdir(run))
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith("trial-") and entry.name not in known and entry.is_dir():
                (run / entry.name).symlink_to(entry.path)
