"""What the controller itself reads and writes in the directories of trials."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from sweep.messages import Outcome, Report
from sweep.system.directory import SweepDirectory, TrialDirectory
from sweep.tracking.hparams import Session
from sweep.tracking.read import has_ended, read_scalars
from sweep.tracking.root import end_session


class TrialFiles:
    """The files of all trials of a sweep.

    An objective may do anything to its directory, and a disk may be full: what cannot be read is not there,
    what cannot be written is left out. The study does not depend on it.

    Args:
        directory: the sweep's.
        metric: its name.
        labels: the names of the runs that each trial has.
    """

    def __init__(self, directory: SweepDirectory, metric: str, labels: Sequence[str] = ("",)) -> None:
        self._directory = directory
        self._metric = metric
        self._labels = labels

    def recover(self, outcome: Outcome) -> Outcome:
        """Add what a killed worker had written to its event file but not reported yet."""
        scalars = self._scalars(outcome.number, outcome.repeat)
        return replace(
            outcome,
            reports=(*outcome.reports, *self._reports(scalars)),
            metrics={tag: list(values.values())[-1] for tag, values in scalars.items()},
        )

    def written_reports(self, number: int, repeat: int = 0) -> list[Report]:
        """The reports that are in a run's event files."""
        return self._reports(self._scalars(number, repeat))

    def write_error(self, outcome: Outcome, reason: str) -> None:
        """Say why the run's last attempt failed."""
        directory = self._run(outcome.number, outcome.repeat)
        with suppress(OSError):
            directory.root.mkdir(parents=True, exist_ok=True)
            directory.error.write_text(outcome.traceback or reason + "\n", encoding="utf-8")

    def tell_end(self, number: int, repeat: int, session: Session, success: bool, is_whole: bool) -> None:
        """Tell TensorBoard an outcome. Only once it is durable: what TensorBoard was told stands for ever.

        Args:
            number: of the trial.
            repeat: of the trial.
            session: its row.
            success: whether it did its work; a pruned trial did.
            is_whole: whether the worker has closed its event file.
        """
        with suppress(OSError):
            end_session(self._run(number, repeat).root, session, success, is_whole, time.time())

    def make_up_end(self, number: int, repeat: int, session: Session, success: bool, ended: float) -> None:
        """Tell TensorBoard an outcome that it may have been told before.

        Args:
            number: of the trial.
            repeat: of the trial.
            session: its row.
            success: whether it did its work.
            ended: in seconds since the epoch.
        """
        run = self._run(number, repeat).root
        with suppress(OSError):
            if not has_ended(run):
                end_session(run, session, success, False, ended)

    def _run(self, number: int, repeat: int) -> TrialDirectory:
        return self._directory.trial(number, self._labels[repeat])

    def _scalars(self, number: int, repeat: int) -> Mapping[str, Mapping[int, float]]:
        with suppress(OSError):
            return read_scalars(self._run(number, repeat).root)
        return {}

    def _reports(self, scalars: Mapping[str, Mapping[int, float]]) -> list[Report]:
        # The objective's own writer may have drawn the metric too, even at steps that no study takes.
        return [Report(step, value) for step, value in scalars.get(self._metric, {}).items() if step >= 0]
