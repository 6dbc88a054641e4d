"""Inverse distribution functions: what a number between 0 and 1 stands for in each distribution, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

from sweep.sweepfile.parameters import Distribution, Range

_EDGE = 1e-9
"""Samplers may propose 0 and 1 themselves, where a normal distribution has no value: it ends at 6 sigma."""


class Quantile(NamedTuple):
    """A distribution of numbers.

    Args:
        value: the number below which a sample lies with a given probability (inverse CDF).
        share: the probability that a sample lies below a number (CDF).
    """

    value: Callable[[float], float]
    share: Callable[[float], float]


def quantile(parameter: Distribution) -> Quantile:
    """What a distribution with a name is before it is rounded.

    W&B's sweeps take the same (`sweeps/params.py` of its open-source sampler).
    """
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


def range_quantile(parameter: Range, size: int | None, nth: Callable[[int], float]) -> Quantile:
    """A range, for the part of a latent number that does not stand for something else.

    Args:
        parameter: the range.
        size: how many values it has, None if it has no steps.
        nth: its values, by their number from 0.
    """
    low, high = float(parameter.min), float(parameter.max)
    if size is None:
        return _exponential(_uniform(math.log(low), math.log(high))) if parameter.log else _uniform(low, high)
    if parameter.log:  # as Optuna has it: each whole number has the share of the log scale that rounds to it
        smooth = _exponential(_uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return Quantile(
            lambda u: min(max(round(smooth.value(u)), parameter.min), parameter.max),
            lambda x: smooth.share(x),
        )
    step = parameter.step or 1
    return Quantile(
        lambda u: nth(min(int(u * size), size - 1)),
        lambda x: (round((x - low) / step) + 0.5) / size,
    )


def _uniform(low: float, high: float) -> Quantile:
    width = high - low
    return Quantile(lambda u: low + u * width, lambda x: (x - low) / width if width else 0.5)


def _exponential(of: Quantile) -> Quantile:
    return Quantile(lambda u: math.exp(of.value(u)), lambda x: of.share(math.log(x)) if x > 0 else 0.0)


def _beta(a: float, b: float) -> Quantile:
    # Imported here: half a second, for a distribution that few use.
    from scipy.special import betainc, betaincinv  # type: ignore[import-untyped]

    return Quantile(
        lambda u: float(betaincinv(a, b, u)), lambda x: float(betainc(a, b, min(max(x, 0.0), 1.0)))
    )
