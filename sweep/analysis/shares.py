"""`Shares`: how the variation of a metric over the space is divided: a functional ANOVA of the surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.analysis.surrogate import State, Surrogate

_GRID = 33
_PAIR_GRID = 7
_DRAWS_PER_STATE = 12
_NEGLIGIBLE = 1e-3
"""The effect of a pair with a smaller variance, where the values have variance 1, is not drawn."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Draws of how the metric's variation over the space is divided: a functional ANOVA of the surrogate.

    A curve that is drawn for a parameter without effect varies a little, so each parameter is left out of as
    many draws as it is likely to have no effect.

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
    mains, pairs, noises = [], [], []
    variances = _Variances(surrogate)
    for state in surrogate.states:
        mains.append(variances.of_parameters(state))
        pairs.append(variances.of_pairs(state))
        noises.append(np.full(_DRAWS_PER_STATE, surrogate.noise_of(state)))
    main, pair, noise = np.concatenate(mains), np.concatenate(pairs), np.concatenate(noises)
    has_effect = _drawn_effects(surrogate, len(main))
    main = main * has_effect
    pair = pair * np.array([has_effect[:, i] & has_effect[:, j] for i, j in surrogate.space.pairs]).T
    whole = np.maximum(main.sum(axis=1) + pair.sum(axis=1), 1e-12)
    return Shares(main / whole[:, None], pair / whole[:, None], noise / (noise + whole))


def _drawn_effects(surrogate: Surrogate, count: int) -> np.ndarray:
    """Which parameters have an effect in each draw, by how likely the values are with and without it."""
    without = 1 / (1 + np.exp(np.clip(surrogate.evidence_of_parameters, -50, 50)))
    return np.asarray(np.random.default_rng(1).random((count, len(without))) >= without)


class _Variances:
    """Draws of the variances of the effects over their ranges."""

    def __init__(self, surrogate: Surrogate) -> None:
        self._surrogate = surrogate
        self._active = (~np.isnan(surrogate.rows)).mean(axis=0)
        self._fine = self._kernels(_GRID)
        self._coarse = [
            (surrogate.space.whole(column, cross), surrogate.space.whole(column, own))
            for column, (cross, own) in enumerate(self._kernels(_PAIR_GRID))
        ]
        self._generator = np.random.default_rng(0)

    def _kernels(self, size: int) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
        """The kernels of each parameter between a grid and the rows, and between the grid and itself."""
        space, rows = self._surrogate.space, self._surrogate.rows
        grids = [space.grid(column, rows, size) for column in range(len(space.choices))]
        return [
            (space.main(column, grid, rows[:, column]), space.main(column, grid, grid))
            for column, grid in enumerate(grids)
        ]

    def of_parameters(self, state: State) -> np.ndarray:
        """The variance of each parameter's own effect; a row for each draw."""
        columns = []
        for place, (cross, own) in zip(self._surrogate.space.places, self._fine, strict=True):
            weights = state.weights[place]
            columns.append(self._draw(state, np.tensordot(weights, cross, 1), np.tensordot(weights, own, 1)))
        return np.asarray(np.array(columns).T * self._active)

    def of_pairs(self, state: State) -> np.ndarray:
        """The variance of the effect of each pair; a row for each draw."""
        columns = []
        for (i, j), weight in zip(
            self._surrogate.space.pairs, state.weights[self._surrogate.space.mains :], strict=False
        ):
            (cross_i, own_i), (cross_j, own_j) = self._coarse[i], self._coarse[j]
            if weight < _NEGLIGIBLE:
                mean = weight * (cross_i * state.alpha) @ cross_j.T
                drawn = np.full(_DRAWS_PER_STATE, mean.var())
            else:
                cross = (cross_i[:, None] * cross_j[None]).reshape(-1, len(state.alpha))
                drawn = self._draw(state, weight * cross, weight * np.kron(own_i, own_j))
            columns.append(drawn * min(self._active[i], self._active[j]))
        return np.asarray(np.array(columns).reshape(-1, _DRAWS_PER_STATE).T)

    def _draw(self, state: State, cross: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Draws of the variance of an effect, given its kernel from the grid to the rows and to itself."""
        values, vectors = np.linalg.eigh(own - cross @ state.inverse @ cross.T)
        root = vectors * np.sqrt(np.maximum(values, 0))
        normal = self._generator.standard_normal((_DRAWS_PER_STATE, len(values)))
        return np.asarray((cross @ state.alpha + normal @ root.T).var(axis=1))
