"""The arguments of `sweep.run` become a sweep file."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweep.errors import InputError
from sweep.space import SearchSpace
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.build import build_spec, change_spec
from sweep.sweepfile.load import parse_sweep_file
from sweep.sweepfile.samplers import GridSampler, Nsga2Sampler


def built(space: Any, n_trials: Any = 3, **options: Any) -> SweepSpec:
    return build_spec(
        "__main__:train",
        space=space,
        goal=None,
        goals=None,
        n_trials=n_trials,
        options={"name": "demo", **options},
    )


@st.composite
def int_distributions(draw: st.DrawFn) -> IntDistribution:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -1000, 1000))
    high = draw(st.integers(low, low + 1000))
    return IntDistribution(low, high, log=log, step=1 if log else draw(st.integers(1, 50)))


@st.composite
def float_distributions(draw: st.DrawFn) -> FloatDistribution:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -100, 100)) / 4
    high = low + draw(st.integers(0, 100)) / 4
    step = None if log else draw(st.sampled_from([None, 0.25, 0.5, 3.0]))
    return FloatDistribution(low, high, log=log, step=step)


@pytest.mark.filterwarnings("ignore:The distribution is specified by")
@given(
    int_distributions()
    | float_distributions()
    | st.lists(st.integers() | st.booleans(), min_size=1, unique=True).map(CategoricalDistribution)
)
def test_optunas_distributions_are_kept(distribution: BaseDistribution) -> None:
    spec = built({"x": distribution})
    assert parse_sweep_file(spec.to_yaml(), Path("demo.yaml")).spec == spec
    (found,) = SearchSpace.of(spec).distributions.values()
    if isinstance(distribution, (IntDistribution, FloatDistribution)) and distribution.single():
        assert found.single()
    else:
        assert found == distribution


def test_the_time_of_a_sweep_can_be_a_duration() -> None:
    assert built({"x": {"values": [1, 2]}}, stop={"time": "12h"}).stop.seconds == 43200


def test_numpys_values_equal_pythons() -> None:
    numpys = built(
        {
            "a": {"values": np.array([1.0, 2.0])},
            "b": {"min": np.float64(0), "max": np.float32(0.5)},
            "c": CategoricalDistribution([np.float64(1.5), "x"]),
            np.str_("d"): np.int64(3),
        },
        n_trials=np.int64(5),
        sampler={"type": "random", "seed": np.int64(7)},
    )
    pythons = built(
        {
            "a": {"values": [1.0, 2.0]},
            "b": {"min": 0.0, "max": 0.5},
            "c": CategoricalDistribution([1.5, "x"]),
            "d": 3,
        },
        n_trials=5,
        sampler={"type": "random", "seed": 7},
    )
    assert numpys == pythons
    assert numpys.to_yaml() == pythons.to_yaml()


def test_models_keep_their_type() -> None:
    assert built({"x": {"values": [1, 2]}}, sampler=GridSampler(seed=1)).sampler == GridSampler(seed=1)
    found = change_spec(built({"x": {"values": [1, 2]}}), None, {"sampler": Nsga2Sampler(population_size=10)})
    assert found.sampler == Nsga2Sampler(population_size=10)


def test_members_of_enumerations_of_numbers_are_written_as_numbers() -> None:
    size = enum.IntEnum("size", ["SMALL", "LARGE"])
    spec = built({"x": {"values": list(size)}, "y": size.SMALL})
    assert parse_sweep_file(spec.to_yaml(), Path("demo.yaml")).spec.to_yaml() == spec.to_yaml()


def test_a_set_is_rejected_because_it_has_no_order() -> None:
    with pytest.raises(InputError, match="a set has no stable order; write a list"):
        built({"x": {"values": {"a", "b"}}})


def test_a_direction_completes_a_metric_without_a_goal() -> None:
    data = {"name": "acc"}
    spec = build_spec(
        "__main__:train",
        space={"x": {"values": [1, 2]}},
        goal="maximize",
        goals=None,
        n_trials=3,
        options={"name": "demo", "metric": data},
    )
    assert (spec.metric.name, spec.metric.goal) == ("acc", "maximize")


def test_a_sweep_can_be_called_dotted() -> None:
    assert "name: dotted" in built({"x": {"values": [1, 2]}}, name="dotted").to_yaml()
