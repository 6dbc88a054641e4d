"""Checkpoints of a trial, from which its next attempt resumes."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from sweep.system.durable import sync, sync_path
from sweep.trial.scalars import as_step

if TYPE_CHECKING:
    from sweep.trial.metric_log import MetricLog

_NAME = re.compile(r"(\d+)-step-(\d+)")
_STATE = ".sweep.json"
"""The file of a checkpoint that contains the state of the trial's curves."""


class Checkpoint(NamedTuple):
    """A saved state: the directory that contains it, and the step after which it was saved."""

    path: Path
    step: int


def find_checkpoints(directory: Path) -> list[Checkpoint]:
    """The checkpoints in a directory, the oldest first."""
    if not directory.is_dir():
        return []
    names = [match for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    names.sort(key=lambda name: int(name[1]))
    return [Checkpoint(directory / name[0], int(name[2])) for name in names]


class Checkpoints:
    """Saves and finds a trial's state, as `trial.checkpoint`.

    Each checkpoint is a directory in `trial-0007/checkpoint/`, numbered in the order of saving.

    Args:
        directory: the directory of the checkpoints; created with the first one.
        keep: how many of the last checkpoints are kept.
        curves: the state of the trial's curves, which is stored with each checkpoint.
        on_saved: called after a checkpoint has been saved. It can raise an exception to stop the trial.
        discards: whether what is saved is discarded, because another process saves the trial's state.
        resumes_from: the name of the latest checkpoint when the attempt began, empty if there was none; it is
            None if no other process saves checkpoints.
    """

    def __init__(
        self,
        directory: Path,
        keep: int,
        curves: MetricLog,
        on_saved: Callable[[], None],
        discards: bool = False,
        resumes_from: str | None = None,
    ) -> None:
        self._directory = directory
        self._keep = keep
        self._curves = curves
        self._on_saved = on_saved
        self._discards = discards
        self._resumes_from = resumes_from
        self._has_saved = False

    @contextmanager
    def save(self, step: int) -> Iterator[Path]:
        """Save a checkpoint: `with trial.checkpoint.save(step) as path: torch.save(state, path / "it.pt")`.

        At the end of the block, its directory becomes a checkpoint, complete and durable, and checkpoints
        that are too old are removed. If the block raises, or its process is killed, no checkpoint is saved.
        If the sweep is being stopped, the trial stops after the block, and its next attempt resumes there.
        If several workers run the trial, rank 0 saves; what the block writes on other ranks is discarded.

        Args:
            step: the step after which it is saved; reports up to this step belong to it.

        Raises:
            ValueError: `step` is not a non-negative whole number.
        """
        self._curves.check_process()
        step = as_step(step, end=math.inf)  # it may count more than TensorBoard can show, such as tokens
        if self._discards:
            with TemporaryDirectory() as discarded:
                yield Path(discarded)
            self._has_saved = True
            return
        before = find_checkpoints(self._directory)
        count = int(before[-1].path.name.split("-")[0]) + 1 if before else 0
        target = self._directory / f"{count:04d}-step-{step}"
        for unfinished in self._directory.glob(".*-step-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        temporary = self._directory / f".{target.name}"
        temporary.mkdir(parents=True)
        try:
            yield temporary
            (temporary / _STATE).write_text(json.dumps(self._curves.state()), encoding="utf-8")
            sync(temporary)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_path(self._directory)
        self._has_saved = True
        for old in find_checkpoints(self._directory)[: -self._keep]:
            removed = old.path.with_name(f".{old.path.name}")
            old.path.rename(removed)  # so that no reader finds it half removed
            shutil.rmtree(removed, ignore_errors=True)
        self._on_saved()

    def latest(self) -> Checkpoint | None:
        """The latest checkpoint, or None if the trial starts from scratch.

        Call it before anything is logged, because the trial's curves continue from the checkpoint. Do not
        write to its directory. If several workers run the trial, all find the same one, until they save.

        Raises:
            RuntimeError: something has been logged; or rank 0 has already replaced the checkpoint.
        """
        self._curves.check_process()
        if not self._has_saved:
            self._curves.check_nothing_logged()
        checkpoints = find_checkpoints(self._directory)
        if self._resumes_from is not None and not self._has_saved:
            checkpoints = [one for one in checkpoints if one.path.name == self._resumes_from]
            if self._resumes_from and not checkpoints:
                raise RuntimeError(
                    f"rank 0 has already saved another checkpoint in place of {self._resumes_from}; call "
                    "trial.checkpoint.latest() before the first collective operation"
                )
        if not checkpoints:
            return None
        newest = checkpoints[-1]
        if not self._has_saved:  # otherwise this attempt saved it
            self._curves.restore(json.loads((newest.path / _STATE).read_text(encoding="utf-8")))
        return newest
