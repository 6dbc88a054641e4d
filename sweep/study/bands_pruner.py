"""W&B's hyperband as a pruner: only the best trials continue after certain numbers of reports (bands)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

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
        self._finished: dict[int, list[float]] = {}
        """The values of finished trials at the bands, by trial number. They no longer change."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        history = _history(trial, sign)
        passed = [index for index, band in enumerate(self.bands) if band <= len(history)]
        if not passed:
            return False
        last = passed[-1]
        value = history[self.bands[last] - 1] if self._strict else min(history)
        return value > self._threshold(study, last, sign)

    def _threshold(self, study: Study, index: int, sign: float) -> float:
        at_bands = [self._at_bands(other, sign) for other in study.get_trials(deepcopy=False)]
        values = sorted(values[index] for values in at_bands if len(values) > index)
        return values[int(1.0 / self._eta * len(values))] if values else math.inf

    def _at_bands(self, trial: FrozenTrial, sign: float) -> Sequence[float]:
        if (cached := self._finished.get(trial.number)) is not None:
            return cached
        history = _history(trial, sign)
        values = [history[band - 1] for band in self.bands if band <= len(history)]
        if trial.state.is_finished():
            self._finished[trial.number] = values
        return values


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
