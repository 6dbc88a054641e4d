"""Trials for the trainers of frameworks, with a fake controller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweep.messages import Assignment, Report, Suggestion, TrialMessage
from sweep.tracking.hparams import Session
from sweep.tracking.run_logger import RunLogger
from sweep.trial.checkpoints import find_checkpoints
from sweep.trial.trial import Trial


class Script:
    """A channel that prunes at a step, and interrupts a trial at its n-th checkpoint."""

    def __init__(self, prunes_at: int | None = None, ends_after: int | None = None) -> None:
        self.reports: list[Report] = []
        self.prunes_at = prunes_at
        self._left = ends_after

    def report(self, message: TrialMessage) -> None:
        assert isinstance(message, Report)
        self.reports.append(message)

    def should_prune(self) -> bool:
        return self.prunes_at is not None and self.reports[-1].step >= self.prunes_at

    def must_end(self) -> bool:
        if self._left is not None:
            self._left -= 1
        return self._left == 0

    def suggest(self, name: str, distribution: Any) -> Suggestion:
        raise NotImplementedError


MakeTrial = Callable[..., tuple[Trial, Script]]


@pytest.fixture
def make_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeTrial:
    """Creates a trial, or its next attempt, in a temporary directory."""
    monkeypatch.chdir(tmp_path)

    def make(name: str = "trial", metric: str = "val_loss", **script: Any) -> tuple[Trial, Script]:
        directory = tmp_path / name
        saved = find_checkpoints(directory / "checkpoint")
        session = Session({}, "demo/t0000", 0.0)
        run = RunLogger(directory, session, metric, False, saved[-1].step if saved else None)
        channel = Script(**script)
        assignment = Assignment(0, 1, {"lr": 0.05}, session, seed=1)
        return Trial(assignment, directory, metric, run, channel, "cpu"), channel

    return make
