"""`Shares`: how the variation of a metric over the space is divided: a functional ANOVA of the surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.analysis.surrogate import State, Surrogate

_GRID = 33
_PAIR_GRID = 12
_DRAWS_PER_STATE = 12


@dataclass(frozen=True, eq=False)
class Shares:
    """Draws of how the metric's variation over the space is divided: a functional ANOVA of the surrogate.

    Args:
        main: the share of each parameter alone; a row for each draw.
        pairs: the share of each pair, in the order of the surrogate's pairs.
        noise: the share of the noise of group 0, if what noise varies is counted as well.
    """

    main: np.ndarray
    pairs: np.ndarray
    noise: np.ndarray

    def total(self, column: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        """The share of a parameter with all its pairs."""
        of = [index for index, pair in enumerate(pairs) if column in pair]
        return np.asarray(self.main[:, column] + self.pairs[:, of].sum(axis=1))


def shares(surrogate: Surrogate) -> Shares:
    """The shares of the parameters and pairs in the variation of a metric."""
    active = (~np.isnan(surrogate.rows)).mean(axis=0)
    space, rows = surrogate.space, surrogate.rows
    grids = [space.grid(index, rows, _GRID) for index in range(len(space.choices))]
    coarse = [space.grid(index, rows, _PAIR_GRID) for index in range(len(space.choices))]
    kernels = [surrogate.space.main(i, grid, surrogate.rows[:, i]) for i, grid in enumerate(grids)]
    own = [surrogate.space.main(i, grid, grid) for i, grid in enumerate(grids)]
    wholes = [
        surrogate.space.whole(i, surrogate.space.main(i, grid, surrogate.rows[:, i]))
        for i, grid in enumerate(coarse)
    ]
    generator = np.random.default_rng(0)
    mains, pairs, noises = [], [], []
    for state in surrogate.states:
        drawn = [
            _drawn_variances(surrogate, state, column, kernels[column], own[column], generator)
            for column in range(len(grids))
        ]
        mains.append(np.array(drawn).T * active)
        of_pairs = _pair_variances(surrogate, state, wholes, active)
        pairs.append(np.tile(of_pairs, (_DRAWS_PER_STATE, 1)))
        noises.append(np.full(_DRAWS_PER_STATE, surrogate.noise_of(state)))
    main, pair, noise = np.concatenate(mains), np.concatenate(pairs), np.concatenate(noises)
    whole = main.sum(axis=1) + pair.sum(axis=1) + 1e-12
    return Shares(main / whole[:, None], pair / whole[:, None], noise / (noise + whole))


def _drawn_variances(
    surrogate: Surrogate,
    state: State,
    column: int,
    kernels: Sequence[np.ndarray],
    own: Sequence[np.ndarray],
    generator: np.random.Generator,
) -> np.ndarray:
    """Draws of the variance of a parameter's own effect over its range."""
    weights = state.weights[surrogate.space.places[column]]
    cross = sum(weight * kernel for weight, kernel in zip(weights, kernels, strict=True))
    prior = sum(weight * kernel for weight, kernel in zip(weights, own, strict=True))
    covariance = prior - cross @ state.inverse @ cross.T
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    draws = cross @ state.alpha + generator.standard_normal((_DRAWS_PER_STATE, len(values))) @ root.T
    return np.asarray(draws.var(axis=1))


def _pair_variances(
    surrogate: Surrogate, state: State, wholes: Sequence[np.ndarray], active: np.ndarray
) -> np.ndarray:
    """The variance of the effect of each pair over its ranges."""
    first = surrogate.space.mains
    return np.array(
        [
            (state.weights[first + index] * (wholes[i] * state.alpha) @ wholes[j].T).var()
            * min(active[i], active[j])
            for index, (i, j) in enumerate(surrogate.space.pairs)
        ]
    )
