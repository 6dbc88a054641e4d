"""Quantile functions and cumulative distribution functions of the distributions in a sweep file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

from sweep.sweepfile.parameters import Distribution, Range

_EDGE = 1e-9
"""Samplers can propose 0 and 1, where a normal distribution is infinite. So it is cut at 6 sigma."""


class Quantile(NamedTuple):
    """A distribution of numbers.

    Args:
        value: the quantile function (inverse CDF).
        share: the cumulative distribution function (CDF).
    """

    value: Callable[[float], float]
    share: Callable[[float], float]


def quantile(parameter: Distribution) -> Quantile:
    """A named distribution before rounding, as in W&B's open-source sampler (`sweeps/params.py`)."""
    kind = parameter.distribution.removeprefix("q_")
    low, high = float(parameter.min or 0), float(parameter.max or 0)
    if kind == "uniform":
        return _uniform(low, high)
    if kind == "log_uniform_values":
        return _exponential(_uniform(math.log(low), math.log(high)))
    if kind == "beta":
        return _beta(float(parameter.a or 0), float(parameter.b or 0))
    normal = NormalDist(float(parameter.mu), float(parameter.sigma))
    plain = Quantile(lambda u: normal.inv_cdf(min(max(u, _EDGE), 1 - _EDGE)), normal.cdf)
    return plain if kind == "normal" else _exponential(plain)


def range_quantile(parameter: Range, axis: Sequence[Any] | None) -> Quantile:
    """A uniform or log-uniform distribution over a range.

    Args:
        parameter: the range.
        axis: all its values; None if it is continuous.
    """
    low, high = float(parameter.min), float(parameter.max)
    if axis is None:
        return _exponential(_uniform(math.log(low), math.log(high))) if parameter.log else _uniform(low, high)
    if parameter.log and parameter.is_int:
        # As in Optuna: an integer has the share of the log scale that rounds to it.
        smooth = _exponential(_uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return Quantile(
            lambda u: min(max(round(smooth.value(u)), parameter.min), parameter.max),
            lambda x: smooth.share(x),
        )
    step, size = parameter.step or 1, len(axis)
    return Quantile(
        lambda u: axis[min(int(u * size), size - 1)],
        lambda x: (round((x - low) / step) + 0.5) / size,
    )


def _uniform(low: float, high: float) -> Quantile:
    width = high - low
    return Quantile(lambda u: low + u * width, lambda x: (x - low) / width if width else 0.5)


def _exponential(exponent: Quantile) -> Quantile:
    return Quantile(
        lambda u: math.exp(exponent.value(u)), lambda x: exponent.share(math.log(x)) if x > 0 else 0.0
    )


def _beta(a: float, b: float) -> Quantile:
    # Imported here because it takes half a second, for a distribution that few use.
    from scipy.special import betainc, betaincinv  # type: ignore[import-untyped]

    return Quantile(
        lambda u: float(betaincinv(a, b, u)), lambda x: float(betainc(a, b, min(max(x, 0.0), 1.0)))
    )
