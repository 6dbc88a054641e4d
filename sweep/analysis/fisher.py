"""Fisher's exact test, for many tables at once, without scipy's statistics (0.5 s to import)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def log_factorials(largest: int) -> Floats:
    """The logarithms of 0! to `largest`!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])


def log_probabilities(log_factorial: Floats, hits: Counts, drawn: Counts, marked: int, total: int) -> Floats:
    """The log of the hypergeometric probability of exactly `hits` marked ones among `drawn` of `total`."""

    def choose(n: Counts | int, k: Counts | int) -> Floats:
        chosen: Floats = log_factorial[n] - log_factorial[k] - log_factorial[np.subtract(n, k)]
        return chosen

    return choose(marked, hits) + choose(total - marked, drawn - hits) - choose(total, drawn)


def at_least(hits: int, drawn: int, marked: int, total: int) -> float:
    """The one-sided p value: the probability of `hits` or more marked ones among `drawn` of `total`."""
    more = np.arange(hits, min(drawn, marked) + 1)
    return float(
        np.exp(log_probabilities(log_factorials(total), more, np.full_like(more, drawn), marked, total)).sum()
    )


def within_strata(inside: NDArray[np.bool_], marked: NDArray[np.bool_], strata: Counts) -> float:
    """Cochran, Mantel and Haenszel: the z value of how much more often those inside are marked.

    Only trials of the same stratum are compared. It is 0 if most of the marked ones inside are in strata that
    say nothing, because all are marked, unless that is frequent because most of all trials are marked.
    """
    total = np.bincount(strata).astype(float)
    drawn = np.bincount(strata, inside)
    hits = np.bincount(strata, inside & marked)
    all_marked = np.bincount(strata, marked)
    expected = drawn * all_marked / total
    # Otherwise all of them are marked, or inside, or none is.
    is_mixed = (all_marked > 0) & (all_marked < total) & (drawn > 0) & (drawn < total)
    at_edges_only = 2 * hits[is_mixed].sum() < hits.sum() and 2 * marked.sum() < len(marked)
    if not is_mixed.any() or at_edges_only:
        return 0.0
    variance = expected * (total - drawn) * (total - all_marked) / (total * np.maximum(total - 1, 1))
    return float((hits - expected)[is_mixed].sum() / np.sqrt(variance[is_mixed].sum()))
