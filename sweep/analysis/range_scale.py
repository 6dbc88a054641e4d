"""Positions on a range, and ranges that are wider at one end."""

from __future__ import annotations

import math
from typing import Any

from sweep.sweepfile.parameters import Range

_WIDER = 0.5
"""A range is widened at a bound by so much of its width."""
_NATURAL_BOUNDS = (0, 1)
"""Bounds that are often the limits of what a parameter can be: they are not moved."""


class RangeScale:
    """Positions on a range: 0 is its lower bound and 1 its upper one; others lie beyond them."""

    def __init__(self, parameter: Range) -> None:
        self._parameter = parameter
        low, high = float(parameter.min), float(parameter.max)
        self._low, self._high = (math.log(low), math.log(high)) if parameter.log else (low, high)

    def position(self, value: float) -> float:
        """The position of a value."""
        scaled = math.log(value) if self._parameter.log else value
        return (scaled - self._low) / (self._high - self._low)

    def value(self, position: float) -> Any:
        """The value at a position, a multiple of the step, with as many digits as it needs."""
        parameter = self._parameter
        if position in (0, 1):
            return parameter.max if position else parameter.min
        scaled = self._low + position * (self._high - self._low)
        value = math.exp(scaled) if parameter.log else scaled
        if parameter.min >= 0 and not parameter.log:
            value = max(value, 0.0)
        if parameter.is_int:
            step = int(parameter.step or 1)
            low = int(parameter.min)
            whole = low + round((value - low) / step) * step
            return max(whole, low - (low - 1) // step * step) if low >= 1 else whole
        if parameter.step is not None:
            start = float(parameter.min)
            value = start + round((value - start) / parameter.step) * parameter.step
            if start >= 0:
                value = max(value, start - math.floor(start / parameter.step) * parameter.step)
            return float(f"{value:.12g}")
        if parameter.log:
            return float(f"{value:.3g}")
        return round(value, 2 - math.floor(math.log10(self._high - self._low)))


def widened_bound(parameter: Range, is_upper: bool) -> Any:
    """The bound of a wider range; None if the bound cannot be moved, or is likely to be a natural limit."""
    bound = parameter.max if is_upper else parameter.min
    if bound in _NATURAL_BOUNDS or parameter.min == parameter.max:
        return None
    found = RangeScale(parameter).value(1 + _WIDER if is_upper else -_WIDER)
    is_wider = found > bound if is_upper else found < bound
    return found if is_wider else None
