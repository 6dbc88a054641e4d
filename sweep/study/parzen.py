"""`ParzenEstimator`: the density that TPE fits to trials, evaluated by SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions,
    _BatchedDistributions,
    _unique_inverse_2d,
)

_BLOCK = 24_000
"""How many densities are computed at a time. Larger arrays would be allocated by the kernel, page by page."""
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
            for values, kernels in zip(samples.T, mixture.distributions, strict=True):
                total += _log_pdf(values, _part_of(kernels, part))
            largest = np.maximum(total.max(axis=1, keepdims=True), np.finfo(float).min)
            return np.log(np.exp(total - largest).sum(axis=1)) + largest[:, 0]


def _part_of(kernels: Any, part: slice) -> Any:
    if isinstance(kernels, _BatchedCategoricalDistributions):
        return kernels._replace(weights=kernels.weights[part])
    return kernels._replace(mu=kernels.mu[part], sigma=kernels.sigma[part])


def _log_pdf(values: Any, kernels: _BatchedDistributions) -> Any:
    """The logarithm of the density of each kernel (a column) at each value (a row)."""
    if isinstance(kernels, _BatchedCategoricalDistributions):
        return np.log(kernels.weights).T[values.astype(np.int64)]
    mu, sigma = kernels.mu, kernels.sigma
    within = _log_mass((kernels.adapted_low - mu) / sigma, (kernels.adapted_high - mu) / sigma)
    if kernels.step:
        return _log_mass_of_bins(values, kernels) - within
    # In place: these arrays are large, and what TPE takes long for.
    densities = (np.log(values) if kernels.is_log else values)[:, np.newaxis] - mu
    densities *= np.sqrt(0.5) / sigma
    densities *= densities
    densities += within + np.log(sigma) + _HALF_LOG_2_PI
    return np.negative(densities, out=densities)


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
