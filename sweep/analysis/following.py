"""`Follower`: follows a sweep that another process runs, from its files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from sweep.analysis.view import SweepView
from sweep.controller.runs import attempts, attribute, trial_seconds
from sweep.controller.statistics import TrialStats
from sweep.controller.usage import stored_usage
from sweep.messages import (
    AttemptResult,
    BestTrial,
    OutcomeKind,
    Progress,
    Report,
    ReportEvent,
    RunningTrial,
    TrialStateName,
)
from sweep.space import SearchSpace
from sweep.study import attributes
from sweep.study.private import look_at_trials
from sweep.study.storage import reading
from sweep.system.lock import is_locked
from sweep.system.remote.fetch import runner_elsewhere

_ENDS: dict[TrialState, tuple[TrialStateName, OutcomeKind]] = {
    TrialState.COMPLETE: ("COMPLETE", "returned"),
    TrialState.PRUNED: ("PRUNED", "pruned"),
    TrialState.FAIL: ("FAIL", "error"),
}


class Look(NamedTuple):
    """A sweep as it is now, and what has happened since the last look.

    Args:
        progress: the state of the sweep.
        reports: the new reports of running trials.
        results: the trials that have finished since.
    """

    progress: Progress
    reports: list[ReportEvent]
    results: list[AttemptResult]


class Follower:
    """Follows a sweep that another process runs. Reads only what is new, and writes nothing.

    The first look takes as long as there are trials; a later one only as long as trials are not finished.

    Args:
        view: the sweep.
    """

    def __init__(self, view: SweepView) -> None:
        self._view = view
        self._space = SearchSpace.of(view.spec)
        self._known = 0
        self._start(self._trials())

    def _start(self, trials: Sequence[FrozenTrial]) -> None:
        self._stats = TrialStats(self._view.spec, self._space, trials)
        self._known = len(trials)
        self._open = {trial.number for trial in trials if not trial.state.is_finished()}
        self._reported: dict[int, int] = {}
        """How many reports of each running trial have been returned."""

    @property
    def is_running(self) -> bool:
        """Whether a process runs the sweep."""
        directory = self._view.directory
        return is_locked(directory.lock) or runner_elsewhere(directory) is not None

    def latest(self, count: int) -> list[AttemptResult]:
        """The trials that have finished last, in the order in which they did."""
        finished = [trial for trial in self._trials() if trial.state.is_finished()]
        finished.sort(key=lambda trial: (trial.datetime_complete, trial.number))
        best = self._stats.best
        return [self._result(trial, trial is best) for trial in finished[-count:]]

    def look(self) -> Look:
        """Look at the sweep again.

        Raises:
            InputError: its journal is damaged.
        """
        view, trials = self._view, self._trials()
        results = []
        for number in sorted({*self._open, *range(self._known, len(trials))}):
            trial = trials[number]
            if trial.state.is_finished():
                self._open.discard(number)
                self._reported.pop(number, None)
                results.append(self._result(trial, self._stats.add(trial)))
            else:
                self._open.add(number)
        self._known = len(trials)
        live = [trials[number] for number in sorted(self._open)]
        usage = stored_usage(view.directory, view.study)
        elapsed = usage.elapsed + (max(0.0, time.time() - usage.until) if usage.until > 0 else 0.0)
        running = tuple(run for trial in live for run in self._runs(trial))
        busy = len({run.number for run in running})
        progress = Progress(
            counts=self._stats.counts(busy, len(live) - busy),
            total=self._stats.total,
            best=self._best(),
            running=running,
            elapsed=elapsed,
            seconds_left=self._stats.seconds_left(elapsed),
            stopped_by=self._stats.stopped_by(elapsed),
            slots=usage.slots,
        )
        reports = [event for trial in live for event in self._new_reports(trial)]
        return Look(progress, reports, results)

    def _trials(self) -> Sequence[FrozenTrial]:
        """The trials as they are now."""
        view = self._view
        is_replaced = view.storage is not None and view.storage.is_replaced
        if view.study is None or is_replaced:
            self._view = view = view.again()
        if view.study is None:
            return ()
        with reading(view.spec, view.directory):
            trials = look_at_trials(view.study)
        if is_replaced or len(trials) < self._known:  # the sweep was started again
            self._start([])
        return trials

    def _best(self) -> BestTrial | None:
        """The best trial so far. The sweep can run in another time zone."""
        best, trial = self._stats.best_trial, self._stats.best
        if best is None or trial is None or trial.datetime_complete is None:
            return best
        return replace(best, finished=self._view.aware(trial.datetime_complete).timestamp())

    def _runs(self, trial: FrozenTrial) -> Iterator[RunningTrial]:
        """The runs of a trial that are running, and not waiting for another attempt."""
        if trial.state != TrialState.RUNNING or trial.datetime_start is None:
            return
        for repeat, label in enumerate(self._view.spec.run_labels):
            attempt = attempts(trial.user_attrs, label)
            if attempt > 0 and trial.user_attrs.get(attribute(label, attributes.ENDED)) != attempt:
                times = trial.user_attrs.get(attribute(label, attributes.TIMES))
                yield RunningTrial(
                    trial.number,
                    attempt,
                    self._view.params(trial),
                    times[-1][0] if times else self._view.aware(trial.datetime_start).timestamp(),
                    _last(trial) if repeat == 0 else None,
                    repeat,
                    label,
                )

    def _new_reports(self, trial: FrozenTrial) -> Iterator[ReportEvent]:
        """The reports since the last look. The study has those of the first repeat."""
        reported, label = trial.intermediate_values, self._view.spec.run_labels[0]
        for step, value in islice(reported.items(), self._reported.get(trial.number, 0), None):
            yield ReportEvent(trial.number, 0, attempts(trial.user_attrs, label), Report(step, value))
        self._reported[trial.number] = len(reported)

    def _result(self, trial: FrozenTrial, is_best: bool) -> AttemptResult:
        state, kind = _ENDS[trial.state]
        last = _last(trial)
        return AttemptResult(
            number=trial.number,
            attempt=attempts(trial.user_attrs, self._view.spec.run_labels[0]),
            state=state,
            kind=kind,
            value=trial.values[0] if trial.values else None,
            reason=trial.user_attrs.get(attributes.REASON, ""),
            is_best=is_best and len(self._view.spec.goals) == 1,
            duration_s=trial_seconds(trial) or 0.0,
            step=None if last is None else last.step,
            params=self._view.params(trial),
        )


def _last(trial: FrozenTrial) -> Report | None:
    """The last report of a trial, in the order in which they were stored."""
    last = next(reversed(trial.intermediate_values.items()), None)
    return None if last is None else Report(*last)
