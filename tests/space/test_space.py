"""From parameters to Optuna's distributions, grids and TensorBoard's columns."""

from __future__ import annotations

import warnings

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from pydantic import ValidationError

from sweep.errors import EntryError, InputError
from sweep.space import SearchSpace
from sweep.space.columns import cell, column
from sweep.study.grid_sampler import GridSampler
from sweep.sweepfile.parameter_forms import Parameter
from sweep.sweepfile.parameters import Choice, Constant, Distribution, Range

SPACE = SearchSpace(
    {
        "lr": Range(min=1e-4, max=1e-1, log=True),
        "layers": Range(min=1, max=6, step=2),
        "share": Range(min=0.0, max=0.3, step=0.1),
        "act": Choice(values=["relu", None]),
        "epochs": Constant(value=8),
    }
)


def test_each_parameter_has_its_distribution() -> None:
    assert SPACE.distributions == {
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "layers": IntDistribution(1, 5, step=2),
        "share": FloatDistribution(0.0, 0.3, step=0.1),
        "act": CategoricalDistribution(["relu", None]),
    }


def test_a_trial_gets_all_parameters_in_the_files_order() -> None:
    sampled = {"act": None, "share": 0.1, "layers": 3, "lr": 0.01}
    assert list(SPACE.complete(sampled).items()) == [
        ("lr", 0.01),
        ("layers", 3),
        ("share", 0.1),
        ("act", None),
        ("epochs", 8),
    ]


def test_a_grid_has_every_configuration_once_and_the_last_parameter_varies_fastest() -> None:
    space = SearchSpace({name: SPACE.parameters[name] for name in ("layers", "share", "act", "epochs")})
    assert space.grid_size == 3 * 4 * 2
    study = optuna.create_study(sampler=GridSampler(space))
    points = [study.ask(space.distributions).params for _ in range(24)]
    assert points[:3] == [
        {"layers": 1, "share": 0.0, "act": "relu"},
        {"layers": 1, "share": 0.0, "act": None},
        {"layers": 1, "share": 0.1, "act": "relu"},
    ]
    assert points[-1] == {"layers": 5, "share": 0.3, "act": None}
    assert len({tuple(point.items()) for point in points}) == 24


def test_a_sampled_step_equals_the_decimal_number_in_a_condition() -> None:
    space = SearchSpace(
        {
            "share": Range(min=0.0, max=0.5, step=0.1),
            "rest": Constant(value=1, when={"share": (0.3,)}),  # type: ignore[arg-type]
        }
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    found = [space.suggest(study.ask()) for _ in range(60)]
    assert {params["share"] for params in found} == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}
    assert all(("rest" in params) == (params["share"] == 0.3) for params in found)


def test_a_range_can_be_one_decimal_step_wide() -> None:
    axis = SearchSpace({"x": Range(min=0.2, max=0.3, step=0.1)}).variables["x"].axis
    assert list(axis or []) == [0.2, 0.3]


@pytest.mark.parametrize(
    "parameter",
    [
        Range(min=0, max=10**12, step=2),
        Range.model_validate({"min": 1, "max": 10**12, "or": [0]}),
        Distribution(distribution="q_uniform", min=0, max=10**12),
    ],
)
def test_billions_of_values_are_counted_without_a_list(parameter: Parameter) -> None:
    size = SearchSpace({"x": parameter}).grid_size
    assert size is not None
    assert size >= 5 * 10**11
    assert column("x", parameter).domain in [(0.0, 1e12)]
    if not (isinstance(parameter, Range) and parameter.alternatives is None):
        with pytest.raises(EntryError, match=r"parameters\.x: has \d+ values"):
            SearchSpace({"x": parameter}, for_grid=True)


def test_a_grid_over_a_range_without_steps_is_an_error() -> None:
    assert SPACE.grid_size is None
    with pytest.raises(InputError, match=r"parameters\.lr: has infinitely many values"):
        SPACE.check_grid()


DECIMALS = st.integers(1, 10**6).flatmap(lambda n: st.sampled_from([n / 10, n / 1000, n / 10**6]))


@given(DECIMALS, DECIMALS, st.integers(1, 50))
def test_every_point_of_a_stepped_range_is_a_member_of_its_distribution(
    low: float, step: float, steps: int
) -> None:
    high = round(low + (steps + 0.5) * step, 9)
    if high / step > 10**7:
        with pytest.raises(ValidationError, match="too fine"):
            Range(min=low, max=high, step=step)
        return
    parameter = Range(min=low, max=high, step=step)
    space = SearchSpace({"x": parameter})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns when it has to cut a range
        distribution = space.distributions["x"]
        assert isinstance(distribution, FloatDistribution)
        axis = list(space.variables["x"].axis or [])
    assert len(axis) == space.grid_size
    assert axis[0] == pytest.approx(low)
    assert all(distribution._contains(point) for point in axis)
    assert [space.variables["x"].encode(point) for point in axis] == axis


@pytest.mark.parametrize(
    ("parameter", "kind", "domain"),
    [
        (Range(min=1, max=3), "float", (1.0, 3.0)),
        (Choice(values=[1, 2.5]), "float", (1.0, 2.5)),
        (Choice(values=list(range(12))), "float", (0.0, 11.0)),
        (Choice(values=[True, False]), "bool", (True, False)),
        (Choice(values=[True, 0]), "string", ("True", "0")),
        (Choice(values=[None, 0.1]), "string", ("None", "0.1")),
        (Constant(value=[1, 2]), "string", ("[1, 2]",)),
        (Constant(value=3), "float", (3.0,)),
    ],
)
def test_a_column_has_one_type_for_all_its_values(
    parameter: Parameter, kind: str, domain: tuple[object]
) -> None:
    shown = column("x", parameter)
    assert (shown.kind, shown.domain) == (kind, domain)
    values = parameter.values if isinstance(parameter, Choice) else [shown.domain[0]]
    assert len({type(cell(value, shown.kind)) for value in values}) == 1


@given(st.floats(-1000, 1000), st.floats(1e-3, 10), st.integers(1, 50))
def test_every_value_of_a_stepped_range_can_be_sampled_whatever_digits_it_has(
    low: float, step: float, steps: int
) -> None:
    parameter = Range(min=low, max=low + (steps + 0.3) * step, step=step)
    variable = SearchSpace({"x": parameter}).variables["x"]
    axis = list(variable.axis or [])
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error"
        )  # Optuna warns when it has to cut a range, also when it reads a journal
        read = json_to_distribution(distribution_to_json(variable.distribution))
    assert isinstance(read, FloatDistribution)
    assert read == variable.distribution
    assert round((read.high - read.low) / (read.step or 1)) == len(axis) - 1 == steps
    assert all(read._contains(variable.encode(value)) for value in axis)
    assert [variable.decode(variable.encode(value)) for value in axis] == axis


def configurations(space: SearchSpace) -> list[dict[str, object]]:
    grid = space.check_grid()
    return [grid.values(index) for index in range(grid.size)]


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        (Range(min=0, max=2**32), 7),
        (Range(min=-(2**53), max=2**53), 1 - 2**53),
        (Range(min=0.0, max=1e6, step=0.1), 0.3),
        (Range.model_validate({"min": 1, "max": 10**12, "or": [0]}), 10**12 - 1),
        (Distribution(distribution="q_uniform", min=0.5, max=10**9, q=0.25), 2.75),
    ],
)
def test_a_condition_on_one_of_billions_of_values_is_counted_at_once(
    parameter: Parameter, named: float
) -> None:
    dependent = Choice(values=[1, 2, 3], when={"x": (named,)})  # type: ignore[arg-type]
    space = SearchSpace({"x": parameter, "y": dependent})
    axis = space.variables["x"].axis
    assert axis is not None
    assert space.grid_size == len(axis) + 2
    index = space.variables["x"].position(named)
    following = [space.check_grid().values(number) for number in range(index - 1, index + 4)]
    assert [params.get("y") for params in following] == [None, 1, 2, 3, None]
    assert [params["x"] for params in following] == [axis[index - 1], named, named, named, axis[index + 1]]


def test_a_grid_keeps_its_order_where_conditions_name_values_in_the_middle() -> None:
    space = SearchSpace(
        {
            "x": Range.model_validate({"min": 0.0, "max": 0.4, "step": 0.1, "or": ["off", 1]}),
            "y": Choice(values=["a", "b"], when={"x": (0.3, "off")}),  # type: ignore[arg-type]
            "z": Choice(values=[1, 2], when={"y": "b", "x": (0.3, 0.2)}),  # type: ignore[arg-type]
        }
    )
    assert [tuple(params.values()) for params in configurations(space)] == [
        *(("off", "a"), ("off", "b"), (1,), (0.0,), (0.1,), (0.2,)),
        *((0.3, "a"), (0.3, "b", 1), (0.3, "b", 2), (0.4,)),
    ]


def test_a_grid_can_have_thousands_of_parameters() -> None:
    constants: dict[str, Parameter] = {f"c{number}": Constant(value=number) for number in range(1200)}
    single: dict[str, Parameter] = {f"s{number}": Choice(values=["a"]) for number in range(1200)}
    space = SearchSpace({**constants, **single, "x": Choice(values=[1, 2])})
    assert [params["x"] for params in configurations(space)] == [1, 2]


def test_many_parameters_with_conditions_are_counted_at_once() -> None:
    parameters: dict[str, Parameter] = {}
    for number in range(60):
        parameters[f"use{number}"] = Choice(values=[True, False])
        parameters[f"size{number}"] = Choice(values=[1, 2], when={f"use{number}": True})  # type: ignore[arg-type]
    assert SearchSpace(parameters).grid_size == 3**60
