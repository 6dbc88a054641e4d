"""The stop rules of a sweep, for a running sweep and for a sweep on disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, TrialState

from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.ranking import Ranking
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.model import Metric
from sweep.sweepfile.types import UNLIMITED

REASONS = {
    "failures": "; too many trials failed",
    "grid": ", the whole grid",
    "hours": "; the time limit is reached",
    "plateau": "; the best value has not improved for a while",
    "target": "; the target is reached",
    "time": "; the time limit is reached",
    "trials": "",
}
"""Why a sweep has stopped, by stop rule, as the end of a sentence."""
IGNORES_RESUBMISSIONS = ("failures", "grid", "trials")
"""The rules that count a failed trial and its resubmission as one trial: such a sweep can still run it."""


@dataclass
class StopState:
    """The counts that the stop rules check. Trials are added in the order in which they finish.

    Attributes:
        metric: the metric that counts.
        counts: the number of trials by final state.
        best: the best value of the metric so far, among trials within the limits.
        since_best: the number of complete trials since the last improvement.
        longest_plateau: the maximum that `since_best` has had. A trial that was running when it was reached
            can improve the best value: the sweep remains stopped.
    """

    metric: Metric
    counts: Counter[TrialState] = field(default_factory=Counter)
    best: float | None = None
    since_best: int = 0
    longest_plateau: int = 0

    def add_trial(self, trial: FrozenTrial) -> bool:
        """Count a trial with a final state; returns whether it is the best so far."""
        self.counts[trial.state] += 1
        if trial.state != TrialState.COMPLETE:
            return False
        value = trial.values[0]
        if Ranking.is_feasible(trial) and (self.best is None or self.metric.better(value, self.best)):
            self.best, self.since_best = value, 0
            return True
        self.since_best += 1
        self.longest_plateau = max(self.longest_plateau, self.since_best)
        return False


def stop_notes(spec: SweepSpec) -> list[str]:
    """Warnings about the stop rules for the author of a sweep file."""
    stop = spec.stop
    if spec.sampler.type in EXHAUSTIVE or stop.trials is not None or stop.seconds is not None:
        return []
    uncertain = [
        key for key in ("target", "failures", "plateau") if getattr(stop, key) not in (None, UNLIMITED)
    ]
    rules = f", if stop.{' or stop.'.join(uncertain)} is never reached" if uncertain else ""
    return [f"nothing stops this sweep except Ctrl-C{rules}; write for example stop: {{trials: 100}}"]


class StopRules:
    """The sweep file's `stop`, and the size of the grid if every configuration is tried.

    Args:
        spec: the sweep.
        space: its search space.

    Attributes:
        total: the maximum number of trials; None if it is unbounded.
    """

    def __init__(self, spec: SweepSpec, space: SearchSpace) -> None:
        self._stop = spec.stop
        self._metric = spec.metric
        self._grid_size = space.check_grid().size if spec.sampler.type in EXHAUSTIVE else None
        limits = [limit for limit in (self._stop.trials, self._grid_size) if limit is not None]
        self.total = min(limits, default=None)

    def reached(self, state: StopState, resubmissions: int, elapsed: float) -> str | None:
        """The stop rule that is reached, by its key in the sweep file, or None; the first one of several.

        Args:
            state: the counts of the sweep's trials.
            resubmissions: the number of trials that repeat failed ones. Each pair counts as one trial.
            elapsed: how long the sweep has run, in seconds.
        """
        stop, finished = self._stop, state.counts.total() - resubmissions
        if (
            stop.target is not None
            and state.best is not None
            and not self._metric.better(stop.target, state.best)
        ):
            return "target"
        if stop.trials is not None and finished >= stop.trials:
            return "trials"
        if self._grid_size is not None and finished >= self._grid_size:
            return "grid"
        failures = state.counts[TrialState.FAIL] - resubmissions
        if isinstance(stop.failures, int) and failures >= stop.failures:
            return "failures"
        if stop.plateau is not None and state.longest_plateau >= stop.plateau:
            return "plateau"
        seconds_left = self.seconds_left(elapsed)
        if seconds_left is not None and seconds_left <= 0:
            return "hours" if stop.hours is not None else "time"
        return None

    def seconds_left(self, elapsed: float) -> float | None:
        """Seconds until the time limit; None without a time limit."""
        return None if self._stop.seconds is None else self._stop.seconds - elapsed
