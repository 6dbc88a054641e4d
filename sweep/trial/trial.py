"""The trial as its objective sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sweep.messages import Assignment, Report
from sweep.system.directory import TrialDirectory
from sweep.tracking.run_logger import RunLogger
from sweep.tracking.tensorboardx import TrialSummaryWriter
from sweep.trial.artifacts import Artifacts
from sweep.trial.channel import Channel, Interrupted
from sweep.trial.checkpoints import Checkpoints
from sweep.trial.metric_log import MetricLog
from sweep.trial.optuna_trial import OptunaTrial, StudyInfo
from sweep.trial.scalars import BadNumberError


class Trial(OptunaTrial):
    """One attempt of a trial, as its objective sees it.

    It is an `optuna.trial.Trial` too: Optuna's objectives run unchanged (`optuna_trial.py`). It belongs
    to the process in which the objective was called. In a forked process its methods raise RuntimeError, and
    it cannot be pickled. A copy of it is the trial itself.

    Attributes:
        number: the trial's number, from 0.
        params: its parameters.
        repeat: the index of the repeat, from 0; 0 if the sweep has no repeats.
        seed: a number below 2**32, the same for every attempt. random, numpy and torch (if it is loaded) have
            been seeded with it.
        directory: the directory of the trial or its repeat, which is its TensorBoard run directory.
        device: "cuda" if the trial has a GPU or a share of one, otherwise "cpu".
        checkpoint: saves the trial's state, and finds the one that an earlier attempt saved.
    """

    def __init__(
        self,
        assignment: Assignment,
        directory: Path,
        metric: str,
        run: RunLogger,
        channel: Channel,
        device: str,
        keep_checkpoints: int = 1,
        pruning_metric: str | None = None,
        is_define_by_run: bool = False,
        study: StudyInfo = StudyInfo("", ()),  # noqa: B008 - it is frozen
        discarded: Path | None = None,
    ) -> None:
        super().__init__(assignment, run, channel, is_define_by_run, study)
        self.repeat = assignment.repeat
        self.seed = assignment.seed
        self.directory = directory
        self.device = device
        self._metric = metric
        self._metric_log = MetricLog(run, metric, pruning_metric or metric, lambda: self._channel)
        paths = TrialDirectory(directory)
        self.checkpoint = Checkpoints(
            paths.checkpoints,
            keep_checkpoints,
            self._metric_log,
            self._on_saved,
            discarded is not None,
            assignment.resumes_from,
        )
        self._artifacts = Artifacts(TrialDirectory(discarded or directory).artifacts)

    @property
    def metric(self) -> str:
        """The name of the metric that the sweep optimizes (the first one if there are several)."""
        return self._metric

    @property
    def writer(self) -> TrialSummaryWriter:
        """A tensorboardX `SummaryWriter` on the trial's run directory, for images, histograms and text.

        Its scalars are logged as by `log`.
        """
        self._check_process()
        return self._metric_log.writer

    def report(self, value: float, step: int) -> None:
        """Report the metric at `step` to the pruner and to TensorBoard. Returns at once.

        As in Optuna, the first value that is reported for a step counts.

        Args:
            value: the value of the metric.
            step: a whole number from 0 to 2**31 - 1, such as the epoch.

        Raises:
            ValueError: `value` is not a number or `step` is out of range.
        """
        if isinstance(value, Mapping):
            raise BadNumberError(
                "trial.report takes the metric; for several metrics call trial.log(values, step)"
            )
        self.log({self._metric: value}, step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars to TensorBoard. The sweep's metric among them counts as reported.

        Args:
            values: numbers by name.
            step: as for `report`.

        Raises:
            ValueError: a value is not a number or `step` is out of range.
        """
        self._metric_log.log(values, step)

    def should_prune(self) -> bool:
        """Whether the pruner would stop this trial now, given all reported values.

        If so, clean up and raise `sweep.TrialPruned` (the same as `optuna.TrialPruned`).
        """
        if not self._metric_log.has_reported:
            self._metric_log.collect()
            self._metric_log.send_held()
        return self._channel.should_prune()

    def must_end(self) -> bool:
        """Whether the trial should save its state and stop.

        The sweep is being stopped, its machine goes away, or its outcome no longer depends on this attempt.
        `checkpoint.save` checks this. Call it only in an objective that saves its state in another way.
        """
        return self._channel.must_end()

    def save_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> Path:
        """Save a copy of a file, or of a directory with its contents, for `sweep best NAME --artifact`.

        The copy is complete or does not exist, even after a crash. It replaces an artifact of the same name.
        The trial's next attempt finds the artifacts of this one.

        Args:
            path: what to copy. Links that lead out of a directory are replaced by what they point to.
            name: the artifact's name, without `/`; the file's name by default.

        Returns:
            the copy, in the trial's directory. Do not modify it.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: `name` is not a valid name, or the directory contains the trial's own directory.
        """
        self._check_process()
        return self._artifacts.save(path, name)

    @property
    def last_reported(self) -> Report | None:
        """The report with the highest step of the metric by which trials are pruned.

        For a pruned trial, its value is the value of the trial, as in Optuna.
        """
        return self._metric_log.last_reported

    @property
    def last_value(self) -> float | None:
        """The last value of the sweep's metric; None if it has none yet."""
        return self._metric_log.last_value

    def _on_saved(self) -> None:
        if self.must_end():
            raise Interrupted("it has saved a checkpoint")

    def __repr__(self) -> str:
        return f"Trial(number={self.number}, params={self.params!r})"


def metric_log(trial: Trial) -> MetricLog:
    """The metric log of a trial, for the run of a script. Not part of the interface for users."""
    return trial._metric_log


Objective = Callable[[Trial], Any]
"""A function that is called with a trial and returns its metrics."""
