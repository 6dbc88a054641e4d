"""`Surrogate`: a Gaussian process of the metric over the parameters, in numpy.

It is a smoothing spline ANOVA model (Wahba 1990; Gu 2013, chapters 2 and 3): a constant, an effect of each
parameter, an effect of each pair, a rough rest, and noise. Every effect has mean zero over the space, so the
effects are those of a functional ANOVA (Hooker 2007). The variances of the effects are uncertain too: they
are drawn from a Laplace approximation of their posterior, and results are averages over the draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

_ITERATIONS = 50
_CONVERGED = 3e-3
_REFITTED = 8
"""How many iterations adapt the other variances when an effect is left out."""
_DRAWS = 6
"""Half the number of drawn variances: each is drawn with its mirror image."""
_MOST_CHOICES = 24
"""How many values of a choice are looked at: there can be thousands."""
_CONSTANT = 25.0
"""The prior variance of the constant, where the values have variance 1."""
_SMALLEST, _LARGEST = 1e-6, 1e3
"""The limits of each variance on the same scale."""
_PRIOR = {"main": 0.1, "main_of_many": 1e-5, "pair": 1e-4, "rough": 1e-6, "noise": 0.1}
"""The centres of the priors of the variances, which are log-normal and wide. Those of pairs and of the rough
rest are small, so that noise is not taken for an effect."""
_MOST_WITH_PAIRS = 15
"""With more parameters, pairs have no effects of their own, and the prior of the parameters' effects is
small: together, so many would fit noise."""
_PRIOR_WIDTH = 3.0
_SHARES = (0.6, 0.3, 0.1)
"""How much of the effect of a pair is linear, quadratic and smooth in each of the two."""


@dataclass(frozen=True)
class KernelSpace:
    """The kernels of the effects.

    Args:
        choices: the number of choices of each parameter; 0 for numbers, which are positions from 0 to 1. A
            parameter that is inactive in a row is NaN there and has no effect on it.
    """

    choices: tuple[int, ...]

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of parameters, in the order of their kernels; none of many parameters."""
        return [] if self.has_many else list(combinations(range(len(self.choices)), 2))

    @property
    def has_many(self) -> bool:
        """Whether there are so many parameters that pairs are left out."""
        return len(self.choices) > _MOST_WITH_PAIRS

    def grid(self, index: int, rows: np.ndarray, size: int) -> np.ndarray:
        """Positions over the range of a parameter; for a choice, its most frequent values."""
        if not self.choices[index]:
            return np.asarray((np.arange(size) + 0.5) / size)
        column = rows[:, index]
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        return np.asarray(np.sort(values[np.argsort(-counts, kind="stable")[:_MOST_CHOICES]]))

    def main(self, index: int, one: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
        """The kernels of a parameter's effect: a line, a parabola and a smooth curve, or one for a choice.

        Args:
            index: the parameter.
            one: its positions in some rows.
            other: its positions in others.
        """
        a, b = one[:, None], other[None, :]
        active = ~(np.isnan(a) | np.isnan(b))
        if count := self.choices[index]:
            kernels = [(count * (a == b) - 1.0) / max(count - 1, 1)]
        else:  # all have variance 1 on average over the range
            kernels = [12 * (a - 0.5) * (b - 0.5), 180 * _b2(a) * _b2(b), -30 * _b4(np.abs(a - b))]
        return [np.where(active, kernel, 0.0) for kernel in kernels]

    def whole(self, index: int, kernels: list[np.ndarray]) -> np.ndarray:
        """One kernel for a parameter's effect, of which the effects of pairs are products."""
        if self.choices[index]:
            return kernels[0]
        return np.asarray(sum(share * kernel for share, kernel in zip(_SHARES, kernels, strict=True)))

    def rough(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """A Matérn kernel (3/2) over all parameters, for what the effects do not explain."""
        squared = np.zeros((len(one), len(other)))
        for index, count in enumerate(self.choices):
            a, b = one[:, index, None], other[None, :, index]
            difference = (a != b) / 3.0 if count else (a - b) ** 2
            missing = np.isnan(a) | np.isnan(b)
            squared += np.where(missing, (np.isnan(a) != np.isnan(b)) / 3.0, difference)
        distance = np.sqrt(3 * squared * 6 / len(self.choices))  # two random rows have a mean of d / 6
        return np.asarray((1 + distance) * np.exp(-distance))

    def all(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """All kernels between rows: those of each parameter, those of the pairs, the rough one."""
        mains = [self.main(index, one[:, index], other[:, index]) for index in range(len(self.choices))]
        whole = [self.whole(index, kernels) for index, kernels in enumerate(mains)]
        flat = [kernel for kernels in mains for kernel in kernels]
        return np.array([*flat, *(whole[i] * whole[j] for i, j in self.pairs), self.rough(one, other)])

    @cached_property
    def places(self) -> list[slice]:
        """Where the kernels of each parameter's own effect are among all."""
        ends = np.cumsum([1 if count else 3 for count in self.choices])
        return [
            slice(int(end) - (1 if count else 3), int(end))
            for end, count in zip(ends, self.choices, strict=True)
        ]

    @property
    def mains(self) -> int:
        """The number of kernels of the parameters' own effects."""
        return int(self.places[-1].stop)

    def place_of_pair(self, pair: tuple[int, int]) -> int:
        """Where the kernel of a pair is among all."""
        return self.mains + self.pairs.index(pair)

    @property
    def centres(self) -> np.ndarray:
        """The centre of the prior of each kernel's variance."""
        main = _PRIOR["main_of_many" if self.has_many else "main"]
        return np.array([main] * self.mains + [_PRIOR["pair"]] * len(self.pairs) + [_PRIOR["rough"]])

    @property
    def first(self) -> np.ndarray:
        """Where the search for the kernels' variances begins: each parameter's own effect is tried."""
        return np.array([_PRIOR["main"]] * self.mains + list(self.centres[self.mains :]))


def _b2(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * x - x + 1 / 6)


def _b4(x: np.ndarray) -> np.ndarray:
    return np.asarray(x**4 - 2 * x**3 + x * x - 1 / 30)


@dataclass(frozen=True)
class State:
    """The Gaussian process for given variances.

    Args:
        weights: the variance of each kernel's effect.
        noise: the variance of the noise of each value.
        alpha: the inverse covariance, times the values.
        inverse: the inverse covariance.
        likelihood: the logarithm of the marginal likelihood, up to a constant.
    """

    weights: np.ndarray
    noise: np.ndarray
    alpha: np.ndarray
    inverse: np.ndarray
    likelihood: float


class Surrogate:
    """A Gaussian process that is fitted to values.

    Args:
        choices: the number of choices of each parameter, 0 for numbers.
        rows: a row for each observation: positions, indices of choices, NaN for what is inactive.
        values: the observed values.
        noise: the variance of each value's noise if it is known, for example from repeats.
        groups: the group of each observation, 0 or 1. Group 1 has the noise of group 0 and more.

    Attributes:
        scale: the standard deviation of the values.
        state: the process with the most probable variances.
        states: the process with drawn variances.
    """

    def __init__(
        self,
        choices: tuple[int, ...],
        rows: np.ndarray,
        values: np.ndarray,
        noise: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        self.space = KernelSpace(choices)
        self.rows = rows
        self._groups = np.zeros(len(rows), dtype=int) if groups is None else groups
        self._mean = float(np.mean(values))
        self.scale = float(np.std(values)) or 1.0
        self._values = (values - self._mean) / self.scale
        self._known = np.zeros(len(rows))
        if noise is not None:
            self._known = np.clip(noise / self.scale**2, _SMALLEST, _LARGEST)
        free = [group for group in ((1,) if noise is not None else (0, 1)) if (self._groups == group).any()]
        self._masks = np.array([self._groups >= group for group in free], dtype=float).reshape(-1, len(rows))
        self._lower = np.tril_indices(len(rows))
        self._twice = np.where(self._lower[0] == self._lower[1], 1.0, 2.0)
        kernels = self.space.all(rows, rows)
        self._kernels = kernels[:, self._lower[0], self._lower[1]]  # all are symmetric
        self._centres = np.log([*self.space.centres, *[_PRIOR["noise"]] * len(free)])
        first = np.array([*self.space.first, *np.exp(self._centres[len(kernels) :])])
        self._variances = self._fitted(first, _ITERATIONS)
        self.state = self._solve(self._variances)
        self.states = [self._solve(variances) for variances in self._drawn(kernels)]

    def _fitted(self, variances: np.ndarray, iterations: int, without: Sequence[int] = ()) -> np.ndarray:
        """The most probable variances: a fixed-point iteration, as MacKay's (1992) for the evidence.

        Args:
            variances: where it starts.
            iterations: how many steps.
            without: kernels whose effects are fixed to almost zero.
        """
        for _ in range(iterations):
            variances[list(without)] = _SMALLEST
            state = self._solve(variances)
            rows, columns = self._lower
            both = np.stack([state.alpha[rows] * state.alpha[columns], state.inverse[self._lower]], 1)
            of_effects = self._kernels @ (both * self._twice[:, None])
            of_noise = self._masks @ np.stack([state.alpha**2, state.inverse.diagonal()], 1)
            gain, cost = np.concatenate([of_effects, of_noise]).T
            prior = 2 * _PRIOR_WIDTH**-2 * (self._centres - np.log(variances)) / variances
            ratio = (gain + np.maximum(prior, 0)) / (np.maximum(cost, 1e-12) + np.maximum(-prior, 0))
            before, variances = variances, np.clip(variances * np.clip(ratio, 0.2, 5.0), _SMALLEST, _LARGEST)
            if np.abs(variances - before).sum() < _CONVERGED * variances.sum():
                break
        return variances

    def _drawn(self, kernels: np.ndarray) -> list[np.ndarray]:
        """Variances from a Laplace approximation of their posterior, with the Fisher information."""
        products = np.concatenate(
            [
                self.state.inverse @ kernels,
                self._masks[:, None, :] * self.state.inverse[None],
            ]
        )
        products *= self._variances[:, None, None]
        count = len(products)
        information = products.reshape(count, -1) @ products.transpose(0, 2, 1).reshape(count, -1).T / 2
        root = np.linalg.cholesky(np.linalg.inv(information + np.eye(count) * _PRIOR_WIDTH**-2))
        draws = np.random.default_rng(0).standard_normal((_DRAWS, count))
        return [
            np.clip(self._variances * np.exp(root @ draw), _SMALLEST, _LARGEST) for draw in (*draws, *-draws)
        ]

    def _solve(self, variances: np.ndarray) -> State:
        size, kernels = len(self.rows), len(self._kernels)
        noise = variances[kernels:] @ self._masks + self._known
        covariance = np.zeros((size, size))
        covariance[self._lower] = variances[:kernels] @ self._kernels + _CONSTANT
        covariance[np.diag_indices(size)] += noise
        lower = np.linalg.cholesky(covariance)  # which looks at the lower triangle only
        root = np.linalg.inv(lower)
        inverse = root.T @ root
        alpha = inverse @ self._values
        likelihood = float(-0.5 * self._values @ alpha - np.log(lower.diagonal()).sum())
        return State(variances[:kernels], noise, alpha, inverse, likelihood)

    def posterior(self, rows: np.ndarray, average: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the metric without noise at some rows, and its covariance.

        Args:
            rows: the rows.
            average: weights of the rows, for weighted means of them instead.
        """
        cross_kernels, own_kernels = self.space.all(rows, self.rows), self.space.all(rows, rows)
        if average is not None:
            cross_kernels, own_kernels = average @ cross_kernels, average @ own_kernels @ average.T
        means, covariances = [], []
        for state in self.states:
            cross = np.tensordot(state.weights, cross_kernels, 1) + _CONSTANT
            own = np.tensordot(state.weights, own_kernels, 1) + _CONSTANT
            means.append(cross @ state.alpha)
            covariances.append(own - cross @ state.inverse @ cross.T)
        offsets = np.array(means) - np.mean(means, 0)
        covariance = np.mean(covariances, 0) * self._inflation + offsets.T @ offsets / len(means)
        corner = np.diag_indices(len(covariance))
        covariance[corner] = np.maximum(covariance[corner], _SMALLEST)  # rounding can make it negative
        return self._mean + self.scale * np.mean(means, 0), self.scale**2 * covariance

    @property
    def _inflation(self) -> float:
        """A correction of the variance for the degrees of freedom that the effects have used up."""
        used = 1 - float((self.state.noise * self.state.inverse.diagonal()).mean())
        return min(1 / max(1 - used, 1e-3), 2.0)

    @property
    def noise(self) -> float:
        """The standard deviation of the noise of group 0."""
        return self.scale * float(np.sqrt(np.mean([self.noise_of(state) for state in self.states])))

    def noise_of(self, state: State) -> float:
        """The variance of the noise of group 0 in one of the states, on the scale of the fit."""
        return float(state.noise[self._groups == 0].mean())

    @cached_property
    def residuals(self) -> np.ndarray:
        """The difference of each value to what the others predict, by leave-one-out in closed form."""
        return np.asarray(self.scale * self.state.alpha / self.state.inverse.diagonal())

    @property
    def predictability(self) -> float:
        """The share of the values' variance that leave-one-out predicts (R²), over group 0."""
        of = self._groups == 0
        values = self.scale * self._values[of]
        return 1 - float((self.residuals[of] ** 2).sum() / max(((values - values.mean()) ** 2).sum(), 1e-300))

    def evidence_of_pair(self, pair: tuple[int, int]) -> float:
        """How much more likely the values are with the interaction of a pair: the log likelihood ratio."""
        return self._evidence([self.space.place_of_pair(pair)])

    @cached_property
    def evidence_of_parameters(self) -> list[float]:
        """How much more likely the values are with each parameter: the log likelihood ratios."""
        found = []
        for column, own in enumerate(self.space.places):
            pairs = [self.space.place_of_pair(pair) for pair in self.space.pairs if column in pair]
            found.append(self._evidence([*range(own.start, own.stop), *pairs]))
        return found

    def _evidence(self, kernels: Sequence[int]) -> float:
        without = self._fitted(self._variances.copy(), _REFITTED, kernels)
        without[list(kernels)] = _SMALLEST
        return self.state.likelihood - self._solve(without).likelihood
