"""`ParzenEstimator`: the density that TPE fits to trials, evaluated by SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions,
    _unique_inverse_2d,
)

_BLOCK = 26_000
"""How many densities are computed at a time. Larger arrays would be allocated by the kernel, page by page."""
_NEGLIGIBLE = -60.0
"""The logarithm of a share of a density that does not change the sum. `exp` is slow for smaller numbers."""
_HALF_LOG_2_PI = 0.5 * np.log(2 * np.pi)


class ParzenEstimator(_ParzenEstimator):
    """Optuna's estimator with a quicker `log_pdf`, equal to Optuna's except for rounding.

    Optuna does not depend on SciPy and computes the tails of a normal distribution in Python: with five
    parameters that are whole numbers up to a million, a suggestion takes 0.2 seconds after 500 trials.
    """

    def log_pdf(self, samples_dict: dict[str, Any]) -> Any:
        samples = self._transform(samples_dict)
        kernels = len(self._mixture_distribution.weights)
        block = max(1, _BLOCK // len(samples))
        blocks = [slice(start, start + block) for start in range(0, kernels, block)]
        return np.logaddexp.reduce([self._log_pdf_of(part, samples) for part in blocks])

    def _log_pdf_of(self, part: slice, samples: Any) -> Any:
        """The logarithm of what some kernels contribute to the density at each sample."""
        mixture = self._mixture_distribution
        total = np.repeat(np.log(mixture.weights[np.newaxis, part]), len(samples), axis=0)
        # A kernel far from a sample has the probability 0. The kernel of the prior covers the whole range.
        with np.errstate(divide="ignore"):
            continuous = []
            for values, kernels in zip(samples.T, mixture.distributions, strict=True):
                of_part = _part_of(kernels, part)
                if isinstance(kernels, _BatchedCategoricalDistributions):
                    total += np.log(of_part.weights).T[values.astype(np.int64)]
                elif kernels.step:
                    total += _log_mass_of_bins(values, of_part) - _log_mass_of_range(of_part)
                else:
                    continuous.append((values, of_part))
            if continuous:
                total += _log_densities(continuous)
            largest = np.maximum(total.max(axis=1, keepdims=True), np.finfo(float).min)
            total -= largest
            np.maximum(total, _NEGLIGIBLE, out=total)
            return np.log(np.exp(total, out=total).sum(axis=1)) + largest[:, 0]


def _part_of(kernels: Any, part: slice) -> Any:
    if isinstance(kernels, _BatchedCategoricalDistributions):
        return kernels._replace(weights=kernels.weights[part])
    return kernels._replace(mu=kernels.mu[part], sigma=kernels.sigma[part])


def _log_densities(continuous: list[tuple[Any, Any]]) -> Any:
    """The logarithm of the joint density of each kernel (a column) at each value (a row).

    Args:
        continuous: for each parameter, the values and the kernels.
    """
    of_values, of_kernels, constants = [], [], 0.0
    for values, kernels in continuous:
        low, width = kernels.adapted_low, kernels.adapted_high - kernels.adapted_low
        x = ((np.log(values) if kernels.is_log else values) - low) / width
        mu, factor = (kernels.mu - low) / width, -0.5 * (width / kernels.sigma) ** 2
        # factor * (x - mu) ** 2, multiplied out: its sum over the parameters is one product of two matrices.
        of_values += [x * x, x]
        of_kernels += [factor, -2 * factor * mu]
        constants += factor * mu * mu - np.log(kernels.sigma) - _HALF_LOG_2_PI - _log_mass_of_range(kernels)
    return np.array(of_values).T @ np.array(of_kernels) + constants


def _log_mass_of_range(kernels: Any) -> Any:
    """The logarithm of the mass of each kernel within the range of the parameter."""
    low, high = kernels.adapted_low, kernels.adapted_high
    return _log_mass((low - kernels.mu) / kernels.sigma, (high - kernels.mu) / kernels.sigma)


def _log_mass_of_bins(values: Any, kernels: Any) -> Any:
    """The logarithm of the mass of each kernel (a column) within half a step of each value (a row)."""
    from scipy.special import ndtr  # type: ignore[import-untyped]

    values, of_value = np.unique(values, return_inverse=True)
    mu, sigma, of_kernel = _unique_inverse_2d(kernels.mu, kernels.sigma)
    edges = values[:, np.newaxis] + np.array([-0.5, 0.5]) * kernels.step
    if kernels.is_log:
        edges = np.log(edges)
    # The mass of the bin that is as far from the mean in the left tail, where `ndtr` is accurate.
    distances = np.abs(edges.mean(axis=1)[:, np.newaxis] - mu)
    halves = 0.5 * (edges[:, 1] - edges[:, 0])[:, np.newaxis]
    masses = ndtr((halves - distances) / sigma) - ndtr((-halves - distances) / sigma)
    return np.log(masses)[np.ix_(of_value, of_kernel)]


def _log_mass(low: Any, high: Any) -> Any:
    """The logarithm of the mass of the standard normal distribution in intervals."""
    from scipy.special import log_ndtr, ndtr

    in_right_tail = low > 0  # `ndtr` is accurate in the left one
    low, high = np.where(in_right_tail, -high, low), np.where(in_right_tail, -low, high)
    masses = np.log1p(-ndtr(low) - ndtr(-high))
    if (in_tail := high <= 0).any():  # a value outside of the range, which a user gave
        below, above = log_ndtr(low[in_tail]), log_ndtr(high[in_tail])
        masses[in_tail] = above + np.log1p(-np.exp(below - above))
    return masses
