"""`TrialStats`: the counts of a sweep's trials, the best one, and the stop rule that is reached."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from sweep.controller.common_failure import FirstTrials
from sweep.controller.stop_rules import StopRules, StopState
from sweep.messages import BestTrial
from sweep.space import SearchSpace
from sweep.study.resubmission import count_resubmissions
from sweep.sweepfile import SweepSpec


class TrialStats:
    """Counts trials, for a running sweep and for a sweep on disk.

    Args:
        spec: the sweep.
        space: its search space.
        trials: the trials that exist.

    Attributes:
        best: the best complete trial within the limits; of equal trials the first.
        enqueued: the number of trials that are enqueued in Optuna and have not started.
        is_metric_missing: whether a trial finished without reporting the metric.
        first: the first trials that ended since these `trials` were counted.
    """

    def __init__(self, spec: SweepSpec, space: SearchSpace, trials: Iterable[FrozenTrial]) -> None:
        trials = list(trials)
        self._space = space
        self._rules = StopRules(spec, space)
        self._state = StopState(spec.metric)
        self._resubmissions = count_resubmissions(trials)
        self.best: FrozenTrial | None = None
        self.enqueued = sum(trial.state == TrialState.WAITING for trial in trials)
        self.is_metric_missing = False
        self.first = FirstTrials()
        finished = [trial for trial in trials if trial.datetime_complete is not None]
        for trial in sorted(finished, key=lambda trial: (trial.datetime_complete, trial.number)):
            self._count(trial)

    def add(self, trial: FrozenTrial) -> bool:
        """Count a trial that has just ended; returns whether it is the best so far."""
        self.first.add(trial)
        return self._count(trial)

    def _count(self, trial: FrozenTrial) -> bool:
        is_best = self._state.add_trial(trial)
        if is_best:
            self.best = trial
        return is_best

    def add_resubmissions(self, count: int) -> None:
        """Count failed trials that were enqueued again."""
        self._resubmissions += count
        self.enqueued += count

    @property
    def best_trial(self) -> BestTrial | None:
        """The best trial so far, as the progress shows it."""
        trial = self.best
        if trial is None:
            return None
        return BestTrial(
            trial.number,
            trial.values[0],
            self._space.complete(trial.params),
            finished=None if trial.datetime_complete is None else trial.datetime_complete.timestamp(),
            values=tuple(trial.values) if len(trial.values) > 1 else (),
        )

    def count(self, state: TrialState) -> int:
        """The number of trials with this final state."""
        return self._state.counts[state]

    def counts(self, running: int, waiting: int) -> dict[str, int]:
        """The number of trials by state, as the progress shows them."""
        return {
            "complete": self.count(TrialState.COMPLETE),
            "pruned": self.count(TrialState.PRUNED),
            "failed": self.count(TrialState.FAIL),
            "running": running,
            "waiting": waiting,
        }

    @property
    def has_results(self) -> bool:
        """Whether any trial is complete or pruned."""
        return self.count(TrialState.COMPLETE) + self.count(TrialState.PRUNED) > 0

    @property
    def total(self) -> int | None:
        """The maximum number of trials, resubmissions included; None if it is unbounded."""
        return None if self._rules.total is None else self._rules.total + self._resubmissions

    def has_all_trials(self, live: int) -> bool:
        """Whether the maximum number of trials has been reached, where `live` trials are not finished."""
        return self.total is not None and live + self._state.counts.total() >= self.total

    def stopped_by(self, elapsed: float) -> str | None:
        """The stop rule that is reached after `elapsed` seconds, by its key in the sweep file, or None."""
        return self._rules.reached(self._state, self._resubmissions, elapsed)

    def seconds_left(self, elapsed: float) -> float | None:
        """Seconds until the time limit; None without a time limit."""
        return self._rules.seconds_left(elapsed)
