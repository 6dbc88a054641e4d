"""The stop rules: plain questions about where a sweep stands, asked while it runs and afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.ranking import Ranking
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.model import Metric


@dataclass
class StopState:
    """What the stop rules look at. Trials are added in the order in which they end.

    Attributes:
        metric: the one that counts.
        finished: trials with a final outcome.
        failed: trials that failed.
        best: the best value of the metric so far, among trials within the limits.
        since_best: how many trials are complete since there was a better one.
        plateau: the most that `since_best` ever was. What ran on when it was reached may have been better:
            the sweep has ended all the same.
    """

    metric: Metric
    finished: int = 0
    failed: int = 0
    best: float | None = None
    since_best: int = 0
    plateau: int = 0

    def add_trial(self, trial: FrozenTrial) -> bool:
        """Count a trial with a final outcome; says whether it is the best so far."""
        self.finished += 1
        self.failed += trial.state == TrialState.FAIL
        if trial.state != TrialState.COMPLETE:
            return False
        value = trial.values[0]
        if Ranking.is_feasible(trial) and (self.best is None or self.metric.better(value, self.best)):
            self.best, self.since_best = value, 0
            return True
        self.since_best += 1
        self.plateau = max(self.plateau, self.since_best)
        return False


def stop_notes(spec: SweepSpec) -> list[str]:
    """What the author of a sweep file may want to know about its end."""
    stop = spec.stop
    if spec.sampler.type in EXHAUSTIVE or stop.trials is not None or stop.seconds is not None:
        return []
    target = " or its target" if stop.target is not None else ""
    return [f"nothing ends this sweep but Ctrl-C{target}; write for example stop: {{trials: 100}}"]


class StopRules:
    """The sweep file's `stop`, and the size of the grid if every configuration is to be tried.

    Args:
        spec: the sweep.
        space: its search space.
    """

    def __init__(self, spec: SweepSpec, space: SearchSpace) -> None:
        self._stop = spec.stop
        self._metric = spec.metric
        self._grid_size = space.check_grid().size if spec.sampler.type in EXHAUSTIVE else None

    @property
    def total(self) -> int | None:
        """How many trials there will be at most; None if nothing limits them."""
        limits = [limit for limit in (self._stop.trials, self._grid_size) if limit is not None]
        return min(limits) if limits else None

    def reached(self, standing: StopState, reruns: int, elapsed: float) -> str | None:
        """The rule that is reached, in the sweep file's word, or None.

        Args:
            standing: where the sweep stands.
            reruns: how many trials only repeat others that failed: neither these nor those count.
            elapsed: seconds the sweep has run.
        """
        finished = standing.finished - reruns
        stop = self._stop
        if (
            stop.target is not None
            and standing.best is not None
            and not self._metric.better(stop.target, standing.best)
        ):
            return "target"
        if stop.trials is not None and finished >= stop.trials:
            return "trials"
        if self._grid_size is not None and finished >= self._grid_size:
            return "grid"
        if stop.failures is not None and standing.failed - reruns >= stop.failures:
            return "failures"
        if stop.plateau is not None and standing.plateau >= stop.plateau:
            return "plateau"
        seconds_left = self.seconds_left(elapsed)
        if seconds_left is not None and seconds_left <= 0:
            return "hours" if stop.hours is not None else "time"
        return None

    def seconds_left(self, elapsed: float) -> float | None:
        """Until the time is up; None if there is no such rule."""
        return None if self._stop.seconds is None else self._stop.seconds - elapsed
