"""Properties of every search space. The rules are written here a second time, from the sweep file's own
data."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.space import SearchSpace
from sweep.study.grid_sampler import GridSampler
from sweep.study.samplers import make_sampler
from sweep.sweepfile import SweepSpec, parse_sweep_file

optuna.logging.set_verbosity(optuna.logging.ERROR)
slow = settings(max_examples=50, suppress_health_check=list(HealthCheck))

Raw = dict[str, Any]

words = st.sampled_from(["relu", "gelu", "1e-4", "", "null", "on", "0", "x y"])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2).map(lambda x: x / 3) | words
plain = scalars | st.lists(st.integers(0, 3), max_size=2) | st.fixed_dictionaries({"k": st.integers(0, 2)})


def distinct(values: list[Any]) -> bool:
    return all(value not in values[:index] for index, value in enumerate(values))


@st.composite
def choices(draw: st.DrawFn) -> Raw:
    values = draw(st.lists(plain, min_size=1, max_size=4).filter(distinct))
    raw: Raw = {"values": values}
    if draw(st.booleans()):
        raw["probabilities"] = draw(st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
    return raw


@st.composite
def ranges(draw: st.DrawFn, finite: bool = False) -> Raw:
    if finite or draw(st.booleans()):
        low = draw(st.integers(-4, 4))
        raw: Raw = {"min": low, "max": low + draw(st.integers(0, 5))}
        kind = draw(st.sampled_from(["plain", "step", "log", "decimals"]))
    else:
        low_float = draw(st.floats(-100, 100))
        raw = {"min": low_float, "max": low_float + draw(st.floats(0.001, 50))}
        kind = draw(st.sampled_from(["plain", "log"]))
    if kind == "step" and raw["max"] > raw["min"]:
        raw["step"] = draw(st.integers(1, raw["max"] - raw["min"]))
    if kind == "log" and raw["min"] > 0:
        raw["log"] = True
    if kind == "decimals" and raw["max"] > raw["min"]:
        raw = {"min": raw["min"] / 10, "max": raw["max"] / 10, "step": draw(st.sampled_from([0.1, 0.04]))}
    if draw(st.booleans()):
        others = [None, "off", -1000, 1000.5, True]
        raw["or"] = draw(st.lists(st.sampled_from(others), min_size=1, max_size=3, unique=True))
    return raw


@st.composite
def named(draw: st.DrawFn) -> Raw:
    kind = draw(st.sampled_from(["normal", "log_normal", "beta", "uniform", "log_uniform_values"]))
    if kind in ("uniform", "log_uniform_values") or draw(st.booleans()):
        raw: Raw = {"distribution": f"q_{kind}", "q": draw(st.sampled_from([1, 4, 0.25]))}
    else:
        raw = {"distribution": kind}
    if kind == "beta":
        raw |= {"a": draw(st.floats(0.5, 4)), "b": draw(st.floats(0.5, 4))}
    elif "normal" in kind:
        raw |= {"mu": draw(st.floats(-2, 2)), "sigma": draw(st.floats(0.1, 2))}
    else:
        low = draw(st.integers(1, 5))
        raw |= {"min": low, "max": low + draw(st.integers(1, 9))}
    return raw


@st.composite
def spaces(draw: st.DrawFn, finite: bool = False, conditions: bool = True) -> Raw:
    """Nested parameters; each can depend on one before it."""
    deciding: list[tuple[str, list[Any]]] = []
    count = itertools.count()
    leaves = choices() | ranges(True) | scalars if finite else choices() | ranges() | named() | scalars

    def level(prefix: str, depth: int) -> Raw:
        found: Raw = {}
        for _ in range(draw(st.integers(1, 3 if depth else 4))):
            name = f"p{next(count)}"
            when: Raw = {}
            if conditions and deciding and draw(st.booleans()):
                other, values = draw(st.sampled_from(deciding))
                wanted = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
                when = {other: wanted if len(wanted) > 1 or draw(st.booleans()) else wanted[0]}
            if depth < 3 and draw(st.integers(0, 4)) == 0:
                raw: Any = {"parameters": level(f"{prefix}{name}.", depth + 1)}
            else:
                raw = draw(leaves)
                if isinstance(raw, dict):
                    members = enumerated(raw)
                    scalar = [value for value in members or [] if not isinstance(value, list | dict)]
                    if scalar:
                        deciding.append((prefix + name, scalar))
            if when:
                raw = {**raw, "when": when} if isinstance(raw, dict) else {"value": raw, "when": when}
            found[name] = raw
        return found

    return level("", 0)


def equal(a: Any, b: Any) -> bool:
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def flat(
    raw: Raw, prefix: str = "", above: tuple[Raw, ...] = ()
) -> Iterator[tuple[str, Any, tuple[Raw, ...]]]:
    """All parameters with their conditions. Their names are dotted names here."""
    for name, one in raw.items():
        conditions = above
        if isinstance(one, dict) and "when" in one:
            conditions = (*above, one["when"])
        if isinstance(one, dict) and "parameters" in one:
            yield from flat(one["parameters"], f"{prefix}{name}.", conditions)
        else:
            yield prefix + name, one, conditions


def is_active(conditions: tuple[Raw, ...], params: Raw) -> bool:
    return all(
        name in params
        and any(equal(params[name], value) for value in (wanted if isinstance(wanted, list) else [wanted]))
        for when in conditions
        for name, wanted in when.items()
    )


def is_int(raw: Raw) -> bool:
    return isinstance(raw["min"], int) and isinstance(raw["max"], int)


def enumerated(raw: Any) -> list[Any] | None:
    """All values of a parameter in order; None if they are unbounded."""
    if not isinstance(raw, dict):
        return [raw]
    if "value" in raw:
        return [raw["value"]]
    if "values" in raw:
        return list(raw["values"])
    if "distribution" in raw:
        return None
    others = list(raw.get("or", []))
    if "step" not in raw and not is_int(raw):
        return [*others, raw["min"]] if raw["min"] == raw["max"] else None
    values = []
    number = raw["min"]
    while number <= raw["max"] + 1e-12:
        values.append(number if is_int(raw) else round(number, 9))
        number += raw.get("step", 1)
    return [*others, *values]


def can_be(raw: Any, value: Any) -> bool:
    """Whether a sweep file's parameter can have a value."""
    members = enumerated(raw)
    if members is not None:
        return any(
            equal(value, own) or (type(value) is float and value == pytest.approx(own)) for own in members
        )
    if "min" in raw and "distribution" not in raw:
        if any(equal(value, other) for other in raw.get("or", [])):
            return True
        return type(value) is float and raw["min"] <= value <= raw["max"]
    q = raw.get("q")
    if q is None:
        low, high = {"normal": (-math.inf, math.inf), "log_normal": (0, math.inf), "beta": (0, 1)}[
            raw["distribution"]
        ]
        return type(value) is float and low <= value <= high
    low, high = raw.get("min", -math.inf), raw.get("max", math.inf)
    whole = abs(value / q - round(value / q)) < 1e-9
    return (
        type(value) is (int if type(q) is int else float) and whole and low - q / 2 <= value <= high + q / 2
    )


def make_spec(parameters: Raw, sampler: Any = "random", **keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": parameters,
            "sampler": sampler,
            **keys,
        }
    )


def sampled(spec: SweepSpec, count: int) -> Iterator[tuple[Raw, optuna.Trial]]:
    space = SearchSpace.of(spec)
    study = optuna.create_study(sampler=make_sampler(spec.sampler, space, 3, 0))
    for number in range(count):
        trial = study.ask()
        yield space.suggest(trial), trial
        study.tell(trial, float(number % 4))


def check_inside(parameters: Raw, params: Raw) -> None:
    expected = []
    for name, raw, conditions in flat(parameters):
        if is_active(conditions, params):
            expected.append(name)
            assert can_be(raw, params[name]), (name, raw, params[name])
    assert list(params) == expected


@slow
@given(spaces(), st.sampled_from(["random", {"type": "tpe", "startup_trials": 3}]))
def test_every_sample_is_in_the_space_and_has_exactly_its_active_parameters(
    parameters: Raw, sampler: Any
) -> None:
    spec = make_spec(parameters, sampler)
    space = SearchSpace.of(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for params, trial in sampled(spec, 8):
            check_inside(parameters, params)
            assert space.complete(trial.params) == params


@slow
@given(spaces())
def test_encoded_values_decode_to_the_same_values(parameters: Raw) -> None:
    space = SearchSpace.of(make_spec(parameters))
    for params, _ in sampled(make_spec(parameters), 5):
        encoded = space.encode(params, "enqueue.0")
        again = space.complete(encoded)
        assert again.keys() == params.keys()
        for name, value in params.items():
            if isinstance(value, float):
                assert again[name] == pytest.approx(value, rel=1e-6, abs=1e-6)
            else:
                assert equal(again[name], value)
        twice = space.complete(space.encode(again, "enqueue.0"))
        assert twice.keys() == again.keys()


@slow
@given(spaces(), st.floats(0.2, 0.8))
def test_constraints_hold_for_every_sample(parameters: Raw, share: float) -> None:
    numbers = {
        name: raw
        for name, raw, _ in flat(parameters)
        if isinstance(raw, dict) and "min" in raw and "distribution" not in raw and "or" not in raw
    }
    if not numbers:
        return
    sums = " + ".join(numbers)
    bound = sum(raw["min"] + share * (raw["max"] - raw["min"]) for raw in numbers.values())
    spec = make_spec(parameters, {"type": "tpe", "startup_trials": 2}, constraints=[f"{sums} <= {bound!r}"])
    for params, _ in sampled(spec, 6):
        check_inside(parameters, params)
        if all(name in params for name in numbers):
            assert sum(params[name] for name in numbers) <= bound + 1e-9


@slow
@given(spaces())
def test_a_spec_round_trips_through_yaml(parameters: Raw) -> None:
    spec = make_spec(
        parameters,
        repeats=2,
        enqueue=["defaults", {"a": None, "b": [1, "1e-4"]}],
        stop={"trials": 3, "plateau": 2},
    )
    text = spec.to_yaml()
    again = parse_sweep_file(text, Path("other.yaml")).spec
    assert again == spec
    assert again.to_yaml() == text


def brute_force(parameters: Raw) -> list[Raw]:
    """Every configuration, in the order of all values of all parameters."""
    leaves = list(flat(parameters))
    found: list[Raw] = []

    def go_on(at: int, params: Raw) -> None:
        if at == len(leaves):
            found.append(params)
            return
        name, raw, conditions = leaves[at]
        if not is_active(conditions, params):
            go_on(at + 1, params)
            return
        for value in enumerated(raw) or []:
            go_on(at + 1, {**params, name: value})

    go_on(0, {})
    return found


def as_text(params: Raw) -> str:
    return repr(
        {name: round(value, 9) + 0.0 if type(value) is float else value for name, value in params.items()}
    )


def few(parameters: Raw) -> bool:
    sizes = [len(enumerated(raw) or []) for _, raw, _ in flat(parameters)]
    return math.prod(sizes) <= 3000


@slow
@given(spaces(finite=True).filter(few))
def test_a_grid_has_every_configuration_once(parameters: Raw) -> None:
    expected = brute_force(parameters)
    space = SearchSpace.of(make_spec(parameters, "grid"))
    grid = space.check_grid()
    assert grid.size == len(expected)
    found = [grid.values(index) for index in range(grid.size)]
    # Conditions refer to parameters before, so the last one varies fastest here, too.
    assert [as_text(dict(sorted(params.items()))) for params in found] == [
        as_text(dict(sorted(params.items()))) for params in expected
    ]
    for params in found:
        check_inside(parameters, params)
    for index in range(min(grid.size, 50)):
        assert as_text(space.complete(grid.point(index))) == as_text(grid.values(index))


@slow
@given(spaces(finite=True).filter(few))
def test_trials_of_a_grid_get_its_configurations(parameters: Raw) -> None:
    expected = brute_force(parameters)[:30]
    space = SearchSpace.of(make_spec(parameters, "grid"))
    study = optuna.create_study(sampler=GridSampler(space))
    for wanted in expected:
        trial = study.ask()
        params = space.suggest(trial)
        assert as_text(params) == as_text({name: wanted[name] for name in params})
        assert space.complete(study.trials[-1].params) == params
        study.tell(trial, 0.0)


@slow
@given(spaces(finite=True).filter(few), st.floats(0.3, 1))
def test_a_grid_omits_infeasible_configurations(parameters: Raw, share: float) -> None:
    numbers = [
        name
        for name, raw, _ in flat(parameters)
        if isinstance(raw, dict) and "min" in raw and "or" not in raw
    ]
    if not numbers:
        return
    bound = round(share * 4, 3)
    spec = make_spec(parameters, "grid", constraints=[f"{' + '.join(numbers)} <= {bound}"])
    fitting = [
        params
        for params in brute_force(parameters)
        if any(name not in params for name in numbers)
        or sum(params[name] for name in numbers) <= bound + 1e-12
    ]
    assert SearchSpace.of(spec).check_grid().size == len(fitting)
