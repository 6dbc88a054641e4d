"""Spearman's rank correlation with a confidence interval, without scipy's statistics (0.5 s to import)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z = 1.96
"""The 97.5 % quantile of the normal distribution: intervals cover 95 %."""
LARGEST = 0.999
"""Fisher's transformation of 1 is infinite."""


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its interval of 95 %.

    Args:
        value: from -1 to 1.
        low: the lower end of the interval.
        high: the upper end.
        count: the number of pairs.
    """

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def interval(value: float, count: int) -> Correlation:
    """A rank correlation with its interval, by Fisher's transformation with Bonett and Wright's variance."""
    value = max(-LARGEST, min(LARGEST, value))
    if count <= 4:
        return Correlation(value, -1.0, 1.0, count)
    reach = Z * math.sqrt((1 + value**2 / 2) / (count - 3))
    middle = math.atanh(value)
    return Correlation(value, math.tanh(middle - reach), math.tanh(middle + reach), count)


def ranks(values: Floats) -> Floats:
    """The rank of each value, from 0; equal values have the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = (ends - counts + ends - 1) / 2
    return means[places]


def spearman(a: Floats, b: Floats) -> float | None:
    """The rank correlation of two series; None if one is constant."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread > 0 else None


def without_order(value: float, a: Floats, b: Floats) -> float:
    """The rank correlation of two series without what their order explains: the partial rank correlation."""
    order = np.arange(len(a), dtype=float)
    with_a, with_b = spearman(a, order), spearman(b, order)
    if with_a is None or with_b is None or max(abs(with_a), abs(with_b)) >= LARGEST:
        return value
    return (value - with_a * with_b) / math.sqrt((1 - with_a**2) * (1 - with_b**2))
