"""Checkpoints of a trial: what its next attempt goes on from."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sweep.system.durable import sync, sync_one
from sweep.trial.scalars import as_step

_NAME = re.compile(r"(\d+)-step-(\d+)")
_STATE = ".sweep.json"
"""What we keep in a checkpoint of our own: how far the trial's curves were."""


class Checkpoint(NamedTuple):
    """A saved state: the directory that holds it, and the step after which it was saved."""

    path: Path
    step: int


def find_checkpoints(directory: Path) -> list[Checkpoint]:
    """The checkpoints in a directory, the oldest first."""
    if not directory.is_dir():
        return []
    names = [found for path in directory.iterdir() if (found := _NAME.fullmatch(path.name))]
    names.sort(key=lambda name: int(name[1]))
    return [Checkpoint(directory / name[0], int(name[2])) for name in names]


class Checkpoints:
    """Saves and finds a trial's state, as `trial.checkpoint`.

    Each checkpoint is a directory of its own in `trial-0007/checkpoint/`, numbered in the order of saving.

    Args:
        directory: where they lie; made when the first one is saved.
        keep: how many of the last ones are kept.
        state: gives what is saved with each one, as JSON takes it.
        on_saved: is called when one has been saved. May raise to end the trial there.
        before_asked: is called when the newest one is asked for. May raise.
        on_found: is called with the saved state when a checkpoint is about to be used.
    """

    def __init__(
        self,
        directory: Path,
        keep: int,
        state: Callable[[], Any],
        on_saved: Callable[[], None],
        before_asked: Callable[[], None],
        on_found: Callable[[Any], None],
    ) -> None:
        self._directory = directory
        self._keep = keep
        self._state = state
        self._on_saved = on_saved
        self._before_asked = before_asked
        self._has_saved = False
        self._on_found = on_found

    @contextmanager
    def save(self, step: int) -> Iterator[Path]:
        """Make a checkpoint: `with trial.checkpoint.save(step) as path: torch.save(state, path / "it.pt")`.

        The directory that the block gets becomes visible, whole and safely on the disk, at the end of the
        block; if that raises, or its process is killed, there is no trace of it. Older checkpoints are then
        removed. If the sweep is being stopped, the trial ends behind the block; its next attempt goes on.

        Args:
            step: after which it is saved; the reports up to here belong to it.

        Raises:
            ValueError: `step` is no whole number from 0.
        """
        step = as_step(step, end=math.inf)  # it may count what is beyond TensorBoard, such as tokens
        before = find_checkpoints(self._directory)
        count = int(_NAME.fullmatch(before[-1].path.name)[1]) + 1 if before else 0  # type: ignore[index]
        place = self._directory / f"{count:04d}-step-{step}"
        self._remove_unfinished()
        aside = self._directory / f".{place.name}"
        aside.mkdir(parents=True)
        try:
            yield aside
            (aside / _STATE).write_text(json.dumps(self._state()), encoding="utf-8")
            sync(aside)
            aside.rename(place)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync_one(self._directory)
        self._has_saved = True
        for old in find_checkpoints(self._directory)[: -self._keep]:
            shutil.rmtree(old.path, ignore_errors=True)
        self._on_saved()

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, or None if the trial begins at its beginning.

        Ask before anything is logged: the trial's curves go on from there. The directory is not to be written
        to.

        Raises:
            RuntimeError: something has been logged.
        """
        if not self._has_saved:
            self._before_asked()
        found = find_checkpoints(self._directory)
        if not found:
            return None
        newest = found[-1]
        if not self._has_saved:  # else it is this attempt's own
            self._on_found(json.loads((newest.path / _STATE).read_text(encoding="utf-8")))
        return newest

    def _remove_unfinished(self) -> None:
        if self._directory.is_dir():
            for path in self._directory.glob(".*-step-*"):
                shutil.rmtree(path, ignore_errors=True)
