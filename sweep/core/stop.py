"""The stop rules: a plain question about where a sweep stands, asked while it runs and afterwards."""

from __future__ import annotations

from sweep.spec.model import Metric, Stop

SECONDS_PER_HOUR = 3600.0


class StopRules:
    """The sweep file's `stop`, and the size of the grid if it is one.

    Args:
        stop: the sweep file's.
        metric: for the target.
        grid_size: how many configurations there are, None without an end.
    """

    def __init__(self, stop: Stop, metric: Metric, grid_size: int | None) -> None:
        self._stop = stop
        self._metric = metric
        self._grid_size = grid_size

    @property
    def total(self) -> int | None:
        """How many trials there will be at most; None if nothing limits them."""
        limits = [limit for limit in (self._stop.trials, self._grid_size) if limit is not None]
        return min(limits) if limits else None

    def reached(self, finished: int, best: float | None, elapsed: float) -> str | None:
        """The rule that is reached, in the sweep file's word, or None.

        Args:
            finished: trials with a final outcome.
            best: the best value so far.
            elapsed: seconds the sweep has run.
        """
        if (
            self._stop.target is not None
            and best is not None
            and not self._metric.better(self._stop.target, best)
        ):
            return "target"
        if self._stop.trials is not None and finished >= self._stop.trials:
            return "trials"
        if self._grid_size is not None and finished >= self._grid_size:
            return "grid"
        seconds_left = self.seconds_left(elapsed)
        return "hours" if seconds_left is not None and seconds_left <= 0 else None

    def seconds_left(self, elapsed: float) -> float | None:
        """Until the time is up; None if there is no such rule."""
        return None if self._stop.hours is None else self._stop.hours * SECONDS_PER_HOUR - elapsed
