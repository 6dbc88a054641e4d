"""Pruners as they are written in a sweep file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import SpecError
from sweep.sweepfile import SweepSpec, parse_sweep_file, pruners
from sweep.sweepfile.pruners import PRUNERS, CustomPruner, PatientPruner

GOOD = """\
objective: train.py:train
metric: {name: loss, goal: minimize}
parameters:
  x: {min: 0.0, max: 1.0}
"""

EXAMPLES: dict[str, dict[str, Any]] = {
    "none": {},
    "median": {"startup_trials": 1},
    "percentile": {"percentile": 75},
    "asha": {"min_resource": 2},
    "hyperband": {"max_resource": 9},
    "threshold": {"upper": 2.5},
    "wilcoxon": {"p_threshold": 0.2},
    "bands": {"max_iter": 27, "s": 2},
    "patient": {"patience": 5, "wrapped": {"type": "median"}},
}


def parse(pruner: Any) -> SweepSpec:
    text = GOOD + f"pruner: {json.dumps(pruner)}\n"
    return parse_sweep_file(text, Path("dir/space.yaml")).spec


@pytest.mark.parametrize("type_", PRUNERS)
def test_every_pruner_except_none_can_name_its_metric(type_: str) -> None:
    pruner = {"type": type_, **EXAMPLES[type_]}
    if type_ == "none":
        with pytest.raises(SpecError, match="metric: unknown key"):
            parse({**pruner, "metric": "loss"})
    else:
        found = parse({**pruner, "metric": "loss"}).pruner
        assert getattr(found, "metric", None) == "loss"
        assert getattr(parse(pruner).pruner, "metric", "") is None


@pytest.mark.parametrize("type_", [*PRUNERS, "package.module:Class"])
def test_a_pruner_is_written_back_as_it_was_read(type_: str) -> None:
    spec = parse({"type": type_, **EXAMPLES.get(type_, {"metric": "loss", "depth": 1, "nothing": None})})
    assert parse_sweep_file(spec.to_yaml(), Path("space.yaml")).spec == spec


def test_patience_can_wrap_a_short_form_a_class_or_nothing() -> None:
    short = parse({"type": "patient", "patience": 3, "wrapped": "median"}).pruner
    assert short == parse({"type": "patient", "patience": 3, "wrapped": {"type": "median"}}).pruner
    own = parse({"type": "patient", "patience": 3, "wrapped": {"type": "a:B", "depth": 1}}).pruner
    assert isinstance(own, PatientPruner)
    assert isinstance(own.wrapped, CustomPruner)
    assert own.wrapped.options == {"depth": 1}
    alone = parse({"type": "patient", "patience": 3}).pruner
    assert isinstance(alone, PatientPruner)
    assert alone.wrapped is None


MISTAKES: list[tuple[Any, str]] = [
    (3, ": expected a mapping such as {key: value}, got 3"),
    ("medain", ".type: unknown type 'medain'; did you mean 'median'?"),
    ({"type": "asha", "bootstrap_count": 3}, ".bootstrap_count: needs min_resource to be a number"),
    ({"type": "hyperband", "bootstrap_count": 3}, ".bootstrap_count: needs max_resource to be a number"),
    (
        {"type": "hyperband", "min_resource": 9, "max_resource": 3},
        ".max_resource: must not be less than min_resource (9), got 3",
    ),
    ("threshold", ": needs lower, upper, or both"),
    ({"type": "threshold", "lower": 2, "upper": 1}, ".lower: must not be greater than upper (1), got 2"),
    ({"type": "threshold", "lower": "a"}, ".lower: expected a number, got 'a'"),
    (
        {"type": "threshold", "upper": 1, "interval_steps": 0},
        ".interval_steps: must be greater than 0, got 0",
    ),
    ({"type": "wilcoxon", "p_threshold": 1.5}, ".p_threshold: must be at most 1, got 1.5"),
    ({"type": "wilcoxon", "n_startup_steps": -1}, ".n_startup_steps: must be at least 0, got -1"),
    ("patient", ".patience: is missing"),
    ({"type": "patient", "patience": -1}, ".patience: must be at least 0, got -1"),
    ({"type": "patient", "patience": 1, "min_delta": -1}, ".min_delta: must be at least 0, got -1"),
    ({"type": "patient", "patience": 1, "wrapped": "none"}, ".wrapped: would never stop a trial"),
    (
        {"type": "patient", "patience": 1, "wrapped": {"type": "patient", "patience": 2}},
        ".wrapped: cannot be another patient pruner; possible: median",
    ),
    (
        {"type": "patient", "patience": 1, "wrapped": {"type": "median", "metric": "loss"}},
        ".wrapped.metric: belongs to the outer pruner",
    ),
    (
        {"type": "patient", "patience": 1, "wrapped": {"type": "median", "steps": "counted"}},
        ".wrapped.steps: belongs to the outer pruner",
    ),
    ({"type": "median", "steps": "count"}, ".steps: 'count' is not valid; did you mean 'counted'?"),
    (
        {"type": "patient", "patience": 1, "wrapped": {"type": "percentile", "percentile": 101}},
        ".wrapped.percentile: must be at most 100, got 101",
    ),
    (
        {"type": "patient", "patience": 1, "wrapped": 3},
        ".wrapped: expected a mapping such as {key: value}, got 3",
    ),
    ("bands", ": needs min_iter, or max_iter and s"),
    ({"type": "bands", "s": 2}, ": needs min_iter, or max_iter and s"),
    ({"type": "bands", "max_iter": 27}, ".s: is missing; write the number of bands below max_iter"),
    ({"type": "bands", "min_iter": 3, "s": 2}, ".s: is only used with max_iter; leave it out"),
    (
        {"type": "bands", "min_iter": 3, "max_iter": 27, "s": 2},
        ".min_iter: cannot be combined with max_iter; leave one out",
    ),
    ({"type": "bands", "max_iter": 2, "s": 2}, ".max_iter: must be at least eta (3), got 2"),
    ({"type": "bands", "min_iter": 3, "eta": 1}, ".eta: must be greater than 1, got 1"),
    ({"type": "bands", "min_iter": 3, "strict": "no!"}, ".strict: expected true or false, got 'no!'"),
    ({"type": "own.py:Mine"}, ".type: 'own.py:Mine' is not the name of a class; write own:Mine"),
]


@pytest.mark.parametrize(("pruner", "message"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_mistake_gets_one_line_that_says_what_to_write(pruner: Any, message: str) -> None:
    with pytest.raises(SpecError) as error:
        parse(pruner)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"dir/space.yaml:5: pruner{message}")


def test_every_model_of_a_pruner_is_a_type_that_a_file_can_name() -> None:
    assert {*pruners._Pruner.__subclasses__()} == {*PRUNERS.values()} - {pruners.NoPruner}
