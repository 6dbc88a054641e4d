"""What an objective sees of its trial."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.messages import Assignment, Report
from sweep.system.directory import TrialDirectory
from sweep.tracking.events import RunWriter
from sweep.tracking.run import RunDirectory
from sweep.trial.artifacts import Artifacts
from sweep.trial.channel import Channel, Interrupted
from sweep.trial.checkpoints import Checkpoints
from sweep.trial.optuna_trial import OptunaTrial, StudyInfo
from sweep.trial.scalars import as_number, as_step

if TYPE_CHECKING:
    pass


class Trial(OptunaTrial):
    """One attempt of one trial, as its objective sees it.

    It is an `optuna.trial.BaseTrial` as well: Optuna's objectives run unchanged (`optuna_trial.py`).
    It belongs to the process in which the objective was called: in another one, what speaks to the sweep
    raises RuntimeError, and it cannot be pickled. A copy of it is the trial itself.

    Attributes:
        number: the trial's number, from 0.
        params: its parameters.
        repeat: which of the trial's repeats it is, from 0; 0 too if the sweep has none.
        seed: below 2**32 and the same for every attempt; random, numpy and torch (if it is loaded) have been
            seeded with it.
        directory: the trial's own directory, or its repeat's, which is its TensorBoard run directory.
        device: "cuda" if the trial has a GPU, or a share of one, otherwise "cpu".
        checkpoint: saves the trial's state, and finds what an earlier attempt saved.
    """

    def __init__(
        self,
        assignment: Assignment,
        directory: Path,
        metric: str,
        run: RunDirectory,
        channel: Channel,
        device: str,
        keep_checkpoints: int = 1,
        pruning_metric: str | None = None,
        is_define_by_run: bool = False,
        study: StudyInfo = StudyInfo("", ()),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(assignment, run, channel, is_define_by_run, study)
        self.repeat = assignment.repeat
        self.seed = assignment.seed
        self.directory = directory
        self.device = device
        self._metric = metric
        self._judged = pruning_metric or metric
        self._reported: set[int] = set()
        self._last_reported: Report | None = None
        self._inherited: Report | None = None
        """The last report of an earlier attempt before the checkpoint from which this one goes on."""
        self.checkpoint = Checkpoints(
            directory / "checkpoint",
            keep_checkpoints,
            state=self._state,
            on_saved=self._on_saved,
            before_asked=self._check_asked_in_time,
            on_found=self._resume,
        )
        self._artifacts = Artifacts(TrialDirectory(directory).artifacts)

    @property
    def metric(self) -> str:
        """The name of what the sweep optimises (first)."""
        return self._metric

    @property
    def writer(self) -> RunWriter:
        """A tensorboardX `SummaryWriter` on the trial's run directory: for pictures, histograms, text."""
        return self._run.writer

    def report(self, value: float, step: int) -> None:
        """Say how the metric stands at `step`. Returns at once.

        It goes to the pruner and to TensorBoard. As in Optuna, a step keeps the first value reported for it.

        Args:
            value: of the metric.
            step: an epoch or a count of batches: whole, from 0, below 2**31.

        Raises:
            ValueError: `value` is no number or `step` is out of its range.
        """
        self.log({self._metric: value}, step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars to TensorBoard. The sweep's metric among them counts as reported.

        Args:
            values: numbers by name.
            step: as for `report`.

        Raises:
            ValueError: a value is no number or `step` is out of its range.
        """
        self._log(values, step, are_drawn=False)

    def log_drawn(self, values: Mapping[str, float], step: int, event: Any = None) -> None:
        """Do as `log` does with scalars that a script has drawn itself: they are reported, not drawn again.

        Args:
            values: numbers by name.
            step: as for `report`.
            event: the TensorBoard event in which they stand, if the trial's run lacks it.
        """
        if values:
            self._run.begin(step, values)
        if event is not None:
            self._run.add_event(event)
        self._log(values, step, are_drawn=True)

    def follow(self) -> None:
        """Be ready for a script, which may keep its state in its own way and go on with the trial's curves.

        From the first step on that it draws now, what earlier attempts have drawn is void.
        """
        earlier = self._run.follow().get(self._judged)
        if earlier:
            self._inherited = Report(*max(earlier.items()))

    def end_drawn(self) -> None:
        """The script that has drawn scalars into the trial's run will draw no more."""
        self._run.go_behind()

    def _log(self, values: Mapping[str, float], step: int, are_drawn: bool) -> None:
        step = as_step(step)
        numbers = {str(name): as_number(value, f"{name!r}") for name, value in values.items()}
        channel = self._channel  # another process must not write into the trial's run either
        if self._judged in numbers:
            if step in self._reported:
                del numbers[self._judged]
            else:
                self._reported.add(step)
                report = Report(step, numbers[self._judged])
                if self._last_reported is None or step > self._last_reported.step:
                    self._last_reported = report
                channel.report(report)
        self._run.add_scalars(numbers, step, are_drawn)

    def should_prune(self) -> bool:
        """Whether the pruner would stop this trial now, all reported values considered.

        If so, clean up and raise `sweep.TrialPruned` (the same as `optuna.TrialPruned`).
        """
        return self._channel.should_prune()

    def must_end(self) -> bool:
        """Whether the sweep is being stopped, or the trial's outcome is settled without this attempt.

        A trial learns it at its checkpoints; only what keeps its state in another way has to ask.
        """
        return self._channel.must_end()

    def save_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> Path:
        """Keep a copy of a file, or of a directory with all that is in it, for `sweep best NAME --artifact`.

        It is there whole or not at all, whatever dies; one of the same name is replaced. The trial's next
        attempt finds what this one has saved.

        Args:
            path: what to copy. Links in a directory that lead out of it become what they lead to.
            name: what to call it, without `/`; by default as it is called.

        Returns:
            where the copy is, in the trial's directory. It is not to be written to.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: `name` is no name, or the directory contains the trial's own.
        """
        return self._artifacts.save(path, name)

    @property
    def last_reported(self) -> Report | None:
        """The value at the highest step of the metric by which trials are pruned; Optuna takes the same for a
        pruned trial."""
        return self._last_reported or self._inherited

    @property
    def last_value(self) -> float | None:
        """The metric, as far as it is known."""
        if self._judged == self._metric:
            return self.last_reported.value if self.last_reported is not None else None
        return self._run.last[self._metric][1] if self._metric in self._run.last else None

    def _state(self) -> dict[str, Any]:
        return {**self._run.state, "reported": self.last_reported}

    def _on_saved(self) -> None:
        if self.must_end():
            raise Interrupted("it has saved a checkpoint")

    def _check_asked_in_time(self) -> None:
        if self._run.has_scalars:
            raise RuntimeError(
                "trial.checkpoint.latest() was called after something had been logged; call it first, so "
                "that the curves go on at the right step"
            )

    def _resume(self, state: Mapping[str, Any]) -> None:
        self._run.resume(state)
        self._inherited = Report(*state["reported"]) if state["reported"] is not None else None

    def __repr__(self) -> str:
        return f"Trial(number={self.number}, params={self.params!r})"


Objective = Callable[[Trial], Any]
"""A function that is called with a trial and returns its metrics."""
