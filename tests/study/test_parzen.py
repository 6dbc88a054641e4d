"""`ParzenEstimator`: the densities of TPE are Optuna's, in a fraction of the time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from scipy import special

from sweep.study.parzen import ParzenEstimator

SPACE: dict[str, BaseDistribution] = {
    "float": FloatDistribution(-3, 5),
    "log": FloatDistribution(1e-6, 1, log=True),
    "step": FloatDistribution(0, 1, step=0.05),
    "integer": IntDistribution(0, 1_000_000),
    "log_integer": IntDistribution(1, 4096, log=True),
    "choice": CategoricalDistribution(["a", "b", "c"]),
}
PARAMETERS = TPESampler()._parzen_estimator_parameters


def draw(distribution: BaseDistribution, generator: np.random.Generator, count: int) -> np.ndarray:
    """Values within the range, as TPE models them, many of them equal or at its ends."""
    share = generator.random(count).round(generator.integers(1, 4))
    match distribution:
        case FloatDistribution(low=low, high=high, log=True) | IntDistribution(low=low, high=high, log=True):
            values = np.clip(low * (high / low) ** share, low, high)
        case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
            values = low + share * (high - low)
        case _:
            return np.floor(share * 2.99)
    return np.round(values) if isinstance(distribution, IntDistribution) else values


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 3), st.sampled_from([1, 24, 30_000]))
def test_densities_are_those_of_optuna(seed: int, trials: int, parameters: int, samples: int) -> None:
    generator = np.random.default_rng(seed)
    names = generator.choice(list(SPACE), parameters, replace=False).tolist()
    space = {name: SPACE[name] for name in names}
    observations = {name: draw(space[name], generator, trials) for name in names}
    theirs = _ParzenEstimator(observations, space, PARAMETERS)
    sampled = theirs.sample(np.random.RandomState(seed), min(samples, 40 * (trials + 1)))
    ours = ParzenEstimator(observations, space, PARAMETERS)
    np.testing.assert_allclose(ours.log_pdf(sampled), theirs.log_pdf(sampled), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("outside", [-40.0, -3.1, 5.1, 60.0])
def test_densities_are_those_of_optuna_for_values_that_a_user_gave_outside_of_the_range(
    outside: float,
) -> None:
    space = {"float": SPACE["float"]}
    observations = {"float": np.array([outside, 1.0, 2.0])}
    sampled = {"float": np.linspace(-3, 5, 9)}
    theirs = _ParzenEstimator(observations, space, PARAMETERS).log_pdf(sampled)
    ours = ParzenEstimator(observations, space, PARAMETERS).log_pdf(sampled)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_integers_are_not_evaluated_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna calls a Python function for each trial and each candidate."""
    calls = []
    for name in ("ndtr", "log_ndtr"):
        function = getattr(special, name)
        monkeypatch.setattr(special, name, lambda x, function=function: calls.append(x) or function(x))
    space = {"integer": SPACE["integer"]}
    generator = np.random.default_rng(1)
    observations = {"integer": draw(space["integer"], generator, 2000)}
    ParzenEstimator(observations, space, PARAMETERS).log_pdf({"integer": np.arange(24.0)})
    assert len(calls) <= 12
