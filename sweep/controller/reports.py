"""`Reports`: stores the reports of running trials, and asks the pruner about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sweep.controller.live_trials import LiveTrials
from sweep.controller.runs import LiveRun
from sweep.messages import Report, ReportEvent, TrialMessage
from sweep.study import attributes
from sweep.study.private import store_system_attribute
from sweep.study.pruning import Pruning
from sweep.sweepfile import SweepSpec


def compares_results(spec: SweepSpec) -> bool:
    """Whether the pruner compares the results of repeats, which the study has in place of their reports."""
    return spec.repeats is not None and str(spec.pruner.type) == "wilcoxon"


@dataclass(eq=False)
class Reports:
    """Stores the reports of live trials in the study, and asks the pruner about them.

    Only the first repeat of a trial is compared with other trials, and the other repeats follow it, because
    Optuna keeps one value per step.

    Args:
        spec: the sweep.
        pruning: the study's pruner.
        live: the live trials.
        collects_events: whether reports are collected for `take_events`.
    """

    spec: SweepSpec
    pruning: Pruning
    live: LiveTrials
    collects_events: bool
    _events: list[ReportEvent] = field(default_factory=list)

    @property
    def _compares_results(self) -> bool:
        return compares_results(self.spec)

    def store(self, run: LiveRun, messages: Iterable[TrialMessage]) -> None:
        """Store the messages of a run. A step that was reported before keeps its first value."""
        trial = self.live.of(run).trial
        constraints = run.constraints
        for message in messages:
            if isinstance(message, Report):
                self._store_report(run, message)
            elif message.kind == "constraint":
                run.constraints = {**run.constraints, message.key: message.value}
            elif message.kind == "system":
                store_system_attribute(trial, message.key, message.value)
            else:
                trial.set_user_attr(message.key, message.value)
        if run.constraints is not constraints:
            # Not where the objective's own attributes are, so that plain Optuna shows no others.
            store_system_attribute(trial, run.attribute(attributes.CONSTRAINTS), run.constraints)

    def _store_report(self, run: LiveRun, report: Report) -> None:
        run.last_report = report
        # The reports read from the event files of a killed attempt include those that it had sent.
        if self.collects_events and report.step not in run.published_steps:
            run.published_steps.add(report.step)
            self._events.append(ReportEvent(*run.key, run.attempt, report))
        if report.step not in run.steps:
            run.add_steps([report.step])
            if self._is_compared(run):
                self.pruning.report(self.live.of(run).trial, report.step, report.value)

    def restore(self, run: LiveRun, steps: Iterable[int]) -> None:
        """Remember the steps that a run reported in an earlier session."""
        if self._is_compared(run):
            run.add_steps(steps)
            run.published_steps.update(run.steps)

    def store_result(self, run: LiveRun) -> None:
        """Store the result of a repeat for a pruner that compares results."""
        if self._compares_results and run.value is not None:
            self.pruning.report(self.live.of(run).trial, run.repeat, run.value)

    def should_prune(self, run: LiveRun) -> bool:
        """Whether the pruner would stop the trial because of what this run reported."""
        return self._is_compared(run) and run.has_caught_up and self._prune(run)

    def should_prune_repeats(self, run: LiveRun) -> bool:
        """Whether the pruner would stop the other repeats now that this one has finished."""
        return self._prune(run) if self._compares_results else self.should_prune(run)

    def _is_compared(self, run: LiveRun) -> bool:
        return run.repeat == 0 and not self._compares_results

    def _prune(self, run: LiveRun) -> bool:
        return self.pruning.should_prune(self.live.of(run).trial)

    def take_events(self) -> tuple[ReportEvent, ...]:
        """The reports since the last call."""
        if not self._events:
            return ()
        events, self._events = tuple(self._events), []
        return events
