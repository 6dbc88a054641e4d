"""Samples of every kind of parameter follow their distribution; the formulas are scipy's."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from scipy import stats

from sweep.space import SearchSpace
from sweep.study.samplers import make_sampler
from sweep.sweepfile import SweepSpec

optuna.logging.set_verbosity(optuna.logging.ERROR)

COUNT = 2000
LEAST_P = 1e-3
"""The seed is fixed, so that a correct sampler always passes."""


def space_of(parameter: Any, sampler: str = "random") -> tuple[SweepSpec, SearchSpace]:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": parameter},
            "sampler": sampler,
        }
    )
    return spec, SearchSpace.of(spec)


def samples(parameter: Any) -> list[Any]:
    spec, space = space_of(parameter)
    study = optuna.create_study(sampler=make_sampler(spec.sampler, space, 5, 0))
    return [space.suggest(study.ask())["x"] for _ in range(COUNT)]


def ppf(parameter: Any, u: float) -> Any:
    """The parameter's value at a cumulative probability."""
    return space_of(parameter)[1].variables["x"].decode(u)


def agree(found: list[Any], expected: dict[Any, float]) -> None:
    """A chi-square test; no value is outside the support."""
    counts = Counter(found)
    assert set(counts) <= set(expected)
    frequent = [value for value, share in expected.items() if share * COUNT >= 5]
    rest = 1 - sum(expected[value] for value in frequent)
    observed = [counts[value] for value in frequent]
    shares = [expected[value] for value in frequent]
    if rest > 1e-6:
        observed.append(COUNT - sum(observed))
        shares.append(rest)
    assert stats.chisquare(observed, np.array(shares) / sum(shares) * COUNT).pvalue > LEAST_P


CONTINUOUS: dict[str, tuple[dict[str, Any], Any]] = {
    "uniform": ({"min": -2.0, "max": 3.0}, stats.uniform(-2, 5)),
    "log": ({"min": 1e-4, "max": 1e-1, "log": True}, stats.loguniform(1e-4, 1e-1)),
    "normal": ({"distribution": "normal", "mu": 3, "sigma": 0.5}, stats.norm(3, 0.5)),
    "log_normal": (
        {"distribution": "log_normal", "mu": -1, "sigma": 2},
        stats.lognorm(s=2, scale=math.exp(-1)),
    ),
    "beta": ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
    "beta of the ends": ({"distribution": "beta", "a": 0.5, "b": 0.5}, stats.beta(0.5, 0.5)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_samples_follow_their_distribution(name: str) -> None:
    parameter, reference = CONTINUOUS[name]
    found = samples(parameter)
    assert all(type(value) is float for value in found)
    assert stats.kstest(found, reference.cdf).pvalue > LEAST_P


def log_integers(low: int, high: int) -> dict[Any, float]:
    """Each integer has the probability of what rounds to it, on the log scale."""
    width = math.log(high + 0.5) - math.log(low - 0.5)
    return {n: (math.log(n + 0.5) - math.log(n - 0.5)) / width for n in range(low, high + 1)}


def equally(*values: Any) -> dict[Any, float]:
    return {value: 1 / len(values) for value in values}


DISCRETE: dict[str, tuple[dict[str, Any], dict[Any, float]]] = {
    "int": ({"min": -2, "max": 4}, equally(*range(-2, 5))),
    "int log": ({"min": 1, "max": 20, "log": True}, log_integers(1, 20)),
    "int step": ({"min": 1, "max": 10, "step": 3}, equally(1, 4, 7, 10)),
    "int step that does not reach max": ({"min": 1, "max": 9, "step": 3}, equally(1, 4, 7)),
    "step": ({"min": 0.0, "max": 0.5, "step": 0.1}, equally(0.0, 0.1, 0.2, 0.3, 0.4, 0.5)),
    "choice": ({"values": ["a", None, True, 3]}, equally("a", None, True, 3)),
    "weighted": (
        {"values": ["a", "b", "c"], "probabilities": [1, 2, 5]},
        {"a": 1 / 8, "b": 2 / 8, "c": 5 / 8},
    ),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_samples_follow_their_distribution(name: str) -> None:
    agree(samples(DISCRETE[name][0]), DISCRETE[name][1])


def rounded(reference: Any, q: float) -> dict[Any, float]:
    """The values of a rounded distribution with their probabilities."""
    low, high = reference.ppf(1e-10), reference.ppf(1 - 1e-10)
    steps = range(round(low / q) - 1, round(high / q) + 2)
    shares = {k * q: reference.cdf((k + 0.5) * q) - reference.cdf((k - 0.5) * q) for k in steps}
    return {value: share for value, share in shares.items() if share > 0}


ROUNDED: dict[str, tuple[dict[str, Any], Any]] = {
    "q_uniform": ({"min": 1, "max": 11, "q": 4}, stats.uniform(1, 10)),
    "q_uniform of floats": ({"min": 0, "max": 1, "q": 0.25}, stats.uniform(0, 1)),
    "q_log_uniform_values": ({"min": 1, "max": 100, "q": 5}, stats.loguniform(1, 100)),
    "q_normal": ({"mu": 3, "sigma": 4, "q": 2}, stats.norm(3, 4)),
    "q_normal of floats": ({"mu": 0.3, "sigma": 1, "q": 0.5}, stats.norm(0.3, 1)),
    "q_log_normal": ({"mu": 1, "sigma": 0.5, "q": 1}, stats.lognorm(s=0.5, scale=math.e)),
    "q_beta": ({"a": 2, "b": 3, "q": 0.125}, stats.beta(2, 3)),
}


def named(name: str) -> dict[str, Any]:
    return {"distribution": name.split()[0], **ROUNDED[name][0]}


@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_samples_follow_their_distribution(name: str) -> None:
    found = samples(named(name))
    q = ROUNDED[name][0]["q"]
    assert {type(value) for value in found} == {type(q)}
    agree(found, rounded(ROUNDED[name][1], q))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_shares_of_a_continuous_distribution_are_those_of_its_formula(name: str) -> None:
    parameter, reference = CONTINUOUS[name]
    if "distribution" in parameter:
        for u in np.linspace(0.001, 0.999, 200):
            assert ppf(parameter, float(u)) == pytest.approx(reference.ppf(u), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ROUNDED)
def test_shares_of_a_rounded_distribution_are_those_of_its_formula(name: str) -> None:
    keys, reference = ROUNDED[name]
    for u in np.linspace(0.0005, 0.9995, 400):
        assert ppf(named(name), float(u)) == np.round(reference.ppf(u) / keys["q"]) * keys["q"]


def test_rounding_is_half_to_even_from_zero_and_reaches_beyond_the_bounds() -> None:
    parameter = {"distribution": "q_uniform", "min": 1, "max": 11, "q": 4}
    assert set(samples(parameter)) == {0, 4, 8, 12}
    halves = {"distribution": "q_uniform", "min": 0, "max": 8, "q": 1}
    assert [ppf(halves, (k + 0.5) / 8) for k in range(8)] == [0, 2, 2, 4, 4, 6, 6, 8]


OR: dict[str, tuple[dict[str, Any], Callable[[Any], float] | dict[Any, float]]] = {
    "uniform": ({"min": 1.0, "max": 2.0}, stats.uniform(1, 1).cdf),
    "log": ({"min": 1e-3, "max": 1.0, "log": True}, stats.loguniform(1e-3, 1).cdf),
    "int": ({"min": 1, "max": 5}, equally(1, 2, 3, 4, 5)),
    "int log": ({"min": 1, "max": 9, "log": True}, log_integers(1, 9)),
    "int step": ({"min": 1, "max": 9, "step": 4}, equally(1, 5, 9)),
    "step": ({"min": 0.1, "max": 0.3, "step": 0.1}, equally(0.1, 0.2, 0.3)),
}


@pytest.mark.parametrize("name", OR)
def test_each_alternative_is_as_likely_as_the_range(name: str) -> None:
    parameter, reference = OR[name]
    found = samples({**parameter, "or": [-1, "off"]})
    numbers = [value for value in found if value not in (-1, "off")]
    kinds = [value if value in (-1, "off") else "range" for value in found]
    agree(kinds, equally(-1, "off", "range"))
    if isinstance(reference, dict):
        agree(found, {-1: 1 / 3, "off": 1 / 3, **{value: share / 3 for value, share in reference.items()}})
    else:
        assert stats.kstest(numbers, reference).pvalue > LEAST_P


@pytest.mark.parametrize(
    ("bounds", "others"), itertools.product([(0.3, 0.9), (1.0, 1.0), (2, 5)], range(1, 30))
)
def test_the_bounds_of_a_range_with_any_number_of_alternatives_round_trip(
    bounds: tuple[float, float], others: int
) -> None:
    low, high = bounds
    of = space_of({"min": low, "max": high, "or": list(range(100, 100 + others))})[1].variables["x"]
    for value in (low, high, *range(100, 100 + others)):
        again = of.decode(of.encode(value))
        assert again == pytest.approx(value)
        assert type(again) is type(value)


def test_a_grid_of_q_uniform_goes_from_min_by_q_and_stays_below_max() -> None:
    _, space = space_of({"distribution": "q_uniform", "min": 1, "max": 11, "q": 4}, "grid")
    assert [space.check_grid().values(index)["x"] for index in range(space.check_grid().size)] == [1, 5, 9]
    _, space = space_of({"distribution": "q_uniform", "min": 2, "max": 2, "q": 4}, "grid")
    assert space.check_grid().size == 1


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ({"min": 1e-5, "max": 1e-5, "log": True, "or": [0]}, [0, 1e-5]),
        (
            {"min": 0.3333333333333333, "max": 1.0, "step": 0.3333333333333333, "or": [0]},
            [0, 0.3333333333333333, 0.6666666666666666, 0.9999999999999999],
        ),
        ({"min": 1, "max": 3, "or": [2.5]}, [2.5, 1, 2, 3]),
        ({"min": 0.0, "max": 1.0, "step": 0.5, "or": [0.25]}, [0.25, 0.0, 0.5, 1.0]),
    ],
    ids=["one value on a log scale", "steps of sixteen digits", "between whole numbers", "between steps"],
)
def test_a_range_with_alternatives_has_exactly_its_values(parameter: Any, values: list[float]) -> None:
    variable = space_of(parameter)[1].variables["x"]
    assert list(variable.axis or ()) == values
    assert [variable.decode(variable.encode(value)) for value in values] == values
    assert set(samples(parameter)) == set(values)


@pytest.mark.parametrize(
    ("parameter", "possible", "impossible"),
    [
        ({"distribution": "log_normal", "mu": -20, "sigma": 1}, [2e-9, 1.5e-8], [-5e-7, 0, 5e-6]),
        (
            {"distribution": "q_log_uniform_values", "min": 1e-8, "max": 1e-5, "q": 5e-7},
            [0, 5e-7, 1e-6, 9.5e-6],
            [9e-7, 1.1e-6, 6e-7],
        ),
        ({"distribution": "normal", "mu": 1, "sigma": 1}, [0, 1, 1e-9, 6.9], [-6, 8.0]),
        ({"distribution": "normal", "mu": 1e6, "sigma": 1e-2}, [1e6, 1000000.02], [1000000.5]),
        ({"distribution": "beta", "a": 0.5, "b": 0.5}, [0, 1e-12, 0.5, 1], [-5e-7, 1.001]),
        ({"distribution": "q_normal", "mu": 0, "sigma": 9, "q": 2}, [0, 2, -4, 2.0], [1, 2.1, 10**400]),
    ],
)
def test_a_distribution_has_a_value_only_if_it_can_be_sampled(
    parameter: Any, possible: list[float], impossible: list[float]
) -> None:
    variable = space_of(parameter)[1].variables["x"]
    for value in possible:
        scale = parameter.get("sigma", 0.0) if parameter["distribution"] == "normal" else 0.0
        assert variable.decode(variable.encode(value)) == pytest.approx(value, rel=1e-6, abs=1e-6 * scale)
    for value in impossible:
        with pytest.raises(ValueError, match=r"^$"):
            variable.encode(value)
