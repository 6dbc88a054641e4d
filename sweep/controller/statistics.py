"""What has become of a sweep's trials so far: asked while it runs, and of a sweep on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from sweep.controller.stop_rules import StopRules, StopState
from sweep.space import SearchSpace
from sweep.study.resubmission import count_resubmissions
from sweep.sweepfile import SweepSpec


class TrialStats:
    """Counts trials, knows the best one, and says whether a stop rule is reached.

    Args:
        spec: the sweep.
        space: its search space.
        trials: what there is already.
    """

    def __init__(self, spec: SweepSpec, space: SearchSpace, trials: Iterable[FrozenTrial]) -> None:
        trials = list(trials)
        self._rules = StopRules(spec, space)
        self._standing = StopState(spec.metric)
        self._ended: Counter[TrialState] = Counter()
        self._reruns = count_resubmissions(trials)
        self.best: FrozenTrial | None = None
        """The first of the best complete trials within the limits."""
        self.enqueued = sum(trial.state == TrialState.WAITING for trial in trials)
        """How many trials Optuna holds ready that have not been handed out."""
        for trial in _in_order_of_ending(trials):
            self.add(trial)

    def add(self, trial: FrozenTrial) -> bool:
        """A trial has its final outcome; says whether it is the best so far."""
        self._ended[trial.state] += 1
        is_best = self._standing.add_trial(trial)
        if is_best:
            self.best = trial
        return is_best

    def add_resubmissions(self, count: int) -> None:
        """So many failed trials have been enqueued once more."""
        self._reruns += count
        self.enqueued += count

    def ended(self, state: TrialState) -> int:
        """How many trials have this final outcome."""
        return self._ended[state]

    @property
    def total(self) -> int | None:
        """How many trials there will be at most; those that are run again are there twice."""
        return None if self._rules.total is None else self._rules.total + self._reruns

    def is_complete(self, live: int) -> bool:
        """Whether there are as many trials as there will be.

        Args:
            live: how many have begun and not ended.
        """
        return self.total is not None and live + self._standing.finished >= self.total

    def stopped_by(self, elapsed: float) -> str | None:
        """The stop rule that is reached, in the sweep file's word, or None.

        Args:
            elapsed: seconds the sweep has run.
        """
        return self._rules.reached(self._standing, self._reruns, elapsed)

    def seconds_left(self, elapsed: float) -> float | None:
        """Until the time is up; None if there is no such rule."""
        return self._rules.seconds_left(elapsed)


def _in_order_of_ending(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that have a final outcome."""
    return sorted(
        (trial for trial in trials if trial.datetime_complete is not None),
        key=lambda trial: (trial.datetime_complete, trial.number),
    )
