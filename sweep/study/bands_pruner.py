"""W&B's hyperband as a pruner: only the best trials continue after certain numbers of reports (bands)."""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweep.study.finished_trials import FinishedTrials

_MAX_BANDS = 100


class BandsPruner(BasePruner):
    """Stops trials as W&B's sweeps do with `early_terminate: {type: hyperband}`.

    The rule is that of `hyperband_stop_runs` in W&B's package `sweeps` (0.3.0). An iteration is one reported
    value; values that are not finite do not count. All trials of the study count, including this one,
    whatever their state. In contrast to Li et al. (2017) there are no brackets, and a trial that has passed a
    band can still be stopped at that band later, when other trials have passed it with better values.

    Args:
        min_iter: the first band; each further band is `eta` times the one before. There are at most 100.
        max_iter: alternative to `min_iter`: bands are `max_iter` / `eta`, `max_iter` / `eta`**2 and so on.
        s: the number of bands below `max_iter`.
        eta: at a band, one in `eta` trials continues.
        strict: judge a trial by its value at the band, not by its best so far.

    Raises:
        ValueError: the arguments define no band.
    """

    def __init__(
        self,
        min_iter: int | None = None,
        max_iter: int | None = None,
        s: int | None = None,
        eta: float = 3,
        strict: bool = False,
    ) -> None:
        self.bands = _bands(min_iter, max_iter, s, eta)
        if not self.bands:
            raise ValueError("there is no band: give min_iter, or max_iter of at least eta, and s")
        self._eta = eta
        self._strict = strict
        self._finished = FinishedTrials()
        self._values: list[list[float]] = [[] for _ in self.bands]
        """The sorted values of finished trials at each band."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        history = _history(trial, sign)
        passed = [index for index, band in enumerate(self.bands) if band <= len(history)]
        if not passed:
            return False
        last = passed[-1]
        value = history[self.bands[last] - 1] if self._strict else min(history)
        return self._is_above_threshold(study, last, value, sign)

    def _is_above_threshold(self, study: Study, index: int, value: float, sign: float) -> bool:
        for trial in self._finished.new(study):
            for values, at_band in zip(self._values, self._at_bands(trial, sign), strict=False):
                insort(values, at_band)
        finished = self._values[index]
        at_bands = [self._at_bands(trial, sign) for trial in self._finished.unfinished]
        running = [values[index] for values in at_bands if len(values) > index]
        threshold = int(1.0 / self._eta * (len(finished) + len(running)))
        better = bisect_left(finished, value) + sum(other < value for other in running)
        return better > threshold

    def _at_bands(self, trial: FrozenTrial, sign: float) -> list[float]:
        history = _history(trial, sign)
        return [history[band - 1] for band in self.bands if band <= len(history)]


def _bands(min_iter: int | None, max_iter: int | None, s: int | None, eta: float) -> list[int]:
    # Multiplied and divided step by step, and truncated, as W&B does: other rounding gives other bands.
    bands: list[int] = []
    if max_iter is not None:
        band = float(max_iter)
        for _ in range(s or 0):
            band /= eta
            if band < 1:
                break
            bands.append(int(band))
    elif min_iter is not None:
        band = float(min_iter)
        while len(bands) < _MAX_BANDS and math.isfinite(band):
            bands.append(int(band))
            band *= eta
    return sorted(bands)


def _history(trial: FrozenTrial, sign: float) -> list[float]:
    return [sign * value for _, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)]
