"""The Pareto front of many points."""

from __future__ import annotations

import numpy as np

_BLOCK = 256
"""How many points are compared with the front at once."""


def is_on_front(losses: np.ndarray) -> np.ndarray:
    """Which rows of an array no other row dominates. Equal rows do not dominate each other.

    Optuna's search compares one point of the front after the other with the rest: it takes seconds if all of
    10,000 points are on the front of three goals.

    Args:
        losses: a row for each point, without NaN.
    """
    # A row can only be dominated by an earlier one of the sorted rows.
    points, places = np.unique(losses + 0.0, axis=0, return_inverse=True)  # -0.0 becomes 0.0
    is_on = np.zeros(len(points), dtype=bool)
    front: list[np.ndarray] = [points[:0]]
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        is_dominated = np.triu(_dominate(block, block), 1).any(axis=0)
        for rows in front:
            is_dominated |= _dominate(rows, block).any(axis=0)
        is_on[start : start + _BLOCK] = ~is_dominated
        front.append(block[~is_dominated])
    return is_on[places.reshape(-1)]


def _dominate(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Which of some sorted, different rows dominate which of some later ones: a row for each earlier one."""
    dominates = np.ones((len(earlier), len(later)), dtype=bool)
    for goal in range(1, earlier.shape[1]):  # by the first goal they are sorted
        dominates &= earlier[:, goal, None] <= later[None, :, goal]
    return dominates
