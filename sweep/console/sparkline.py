"""Learning curves in one line of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sweep.system.streams import can_encode

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=+*#"
"""For an output without block characters."""


def sparkline(
    curve: Iterable[tuple[int, float]],
    steps: tuple[int, int],
    values: tuple[float, float],
    width: int,
    is_ascii: bool | None = None,
) -> str:
    """A curve in `width` characters. Curves with equal limits can be compared: each character has its place.

    Args:
        curve: values by step. NaN and infinity are left out.
        steps: the first and the last step of all curves.
        values: their lowest and their highest finite value.
        width: the number of characters.
        is_ascii: use only ASCII characters; by default if stdout has no others.
    """
    if is_ascii is None:
        is_ascii = not can_encode(_BLOCKS)
    (first, last), (low, high) = steps, values
    places: list[list[float]] = [[] for _ in range(width)]
    for step, value in curve:
        if math.isfinite(value):
            places[(step - first) * (width - 1) // max(last - first, 1)].append(value)
    characters = _ASCII if is_ascii else _BLOCKS
    span = high / 2 - low / 2  # half of it: the difference of two floats can be too large for a float

    def level(place: list[float]) -> int:
        mean = sum(value / len(place) for value in place)
        share = (mean / 2 - low / 2) / span if span > 0 else 0.0
        return round(min(1.0, max(0.0, share)) * (len(characters) - 1))

    line = "".join(characters[level(place)] if place else " " for place in places)
    return line.rstrip()


def shape(values: Sequence[float], width: int, is_ascii: bool) -> str:
    """A curve between its own lowest and highest value, whose steps are not known, in at most `width`
    characters.
    """
    finite = [value for value in values if math.isfinite(value)]
    limits = min(finite, default=0.0), max(finite, default=0.0)
    return sparkline(enumerate(values), (0, len(values) - 1), limits, min(width, len(values)), is_ascii)


class Curve:
    """The values that a running trial has reported, thinned out so that they always span the whole trial."""

    _MOST = 128

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._every = 1
        self._seen = 0
        self.last: tuple[int, float] | None = None
        """The last step with its value."""

    def add(self, step: int, value: float) -> None:
        """Add a report, unless it is the last one again."""
        if self.last is not None and self.last[0] == step:
            return
        self.last = step, value
        if self._seen % self._every == 0:
            self._kept.append(value)
        self._seen += 1
        if len(self._kept) > self._MOST:
            del self._kept[1::2]
            self._every *= 2

    @property
    def values(self) -> list[float]:
        """The values of the curve, the last one included."""
        if self.last is None or (self._seen - 1) % self._every == 0:
            return self._kept
        return [*self._kept, self.last[1]]
