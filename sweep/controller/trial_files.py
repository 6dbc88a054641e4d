"""Reads and writes the controller's own files in the directories of trials."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from sweep.controller.runs import LiveRun
from sweep.messages import Outcome, Report
from sweep.system.directory import SweepDirectory
from sweep.tracking.read import read_scalars


class TrialFiles:
    """The files of all trials of a sweep.

    An objective can change its directory, and a disk can be full. So a file that cannot be read counts as
    missing, and a file that cannot be written is skipped. The study does not depend on these files.

    Args:
        directory: the sweep's directory.
        metric: the name of the metric that trials report.
    """

    def __init__(self, directory: SweepDirectory, metric: str) -> None:
        self._directory = directory
        self._metric = metric

    def complete(self, run: LiveRun, outcome: Outcome) -> Outcome:
        """Add the values that a killed worker had written to its event file but not sent yet."""
        scalars = self._scalars(run)
        return replace(
            outcome,
            reports=(*outcome.reports, *self._reports(scalars)),
            metrics={tag: list(values.values())[-1] for tag, values in scalars.items()},
        )

    def reports(self, run: LiveRun) -> list[Report]:
        """The reports in the event files of a run."""
        return self._reports(self._scalars(run))

    def write_error(self, run: LiveRun, text: str) -> None:
        """Write why the last attempt of a run failed to `error.txt`."""
        directory = self._directory.trial(run.number, run.label)
        with suppress(OSError):
            directory.root.mkdir(parents=True, exist_ok=True)
            directory.error.write_text(text, encoding="utf-8")

    def set_error_aside(self, run: LiveRun) -> None:
        """Rename the `error.txt` of an earlier attempt: the run has finished, and it has not failed."""
        directory = self._directory.trial(run.number, run.label)
        with suppress(OSError):
            directory.error.rename(directory.earlier_error)

    def _scalars(self, run: LiveRun) -> Mapping[str, Mapping[int, float]]:
        with suppress(OSError):
            return read_scalars(self._directory.trial(run.number, run.label).root)
        return {}

    def _reports(self, scalars: Mapping[str, Mapping[int, float]]) -> list[Report]:
        # The objective's own writer can log the same tag, even at negative steps, which Optuna rejects.
        return [Report(step, value) for step, value in scalars.get(self._metric, {}).items() if step >= 0]
