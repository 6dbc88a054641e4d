"""What W&B's client and sampler accept is accepted, with a note where something is ignored.

The values are those of W&B's package `sweeps` (0.3.0).
"""

from __future__ import annotations

import collections
import math
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweep.errors import InputError
from sweep.script.reference import ScriptReference
from sweep.space import SearchSpace
from sweep.study.samplers import make_sampler
from sweep.sweepfile import SweepFile, parse_sweep_file

METRIC = "metric: {name: loss}\n"
PARAMETERS = "parameters: {x: {value: 1}}\n"


def read(text: str, method: str = "random") -> SweepFile:
    return parse_sweep_file(f"program: train.py\nmethod: {method}\n{text}", Path("wb.yaml"))


def arguments(file: SweepFile, params: dict[str, Any]) -> list[str]:
    """The arguments of a trial."""
    script = ScriptReference.of(file.spec)
    return script.arguments(params, Path("trial"), 0, 0)[3:]


def samples(file: SweepFile, count: int) -> list[dict[str, Any]]:
    """Configurations of a random sweep."""
    space = SearchSpace.of(file.spec)
    sampler = make_sampler(file.spec.sampler, space, seed=1, sampled_so_far=0, objectives=1)
    study = optuna.create_study(sampler=sampler)
    return [space.suggest(study.ask()) for _ in range(count)]


def grid(file: SweepFile) -> list[dict[str, Any]]:
    """All configurations of a grid."""
    found = SearchSpace.of(file.spec).check_grid()
    return [found.values(index) for index in range(found.size)]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("group: g\nreport_to: wandb\nmode: offline\n", "group, report_to and mode: unknown to W&B, ignored"),
        ("u: &u {min: 0}\n", "u: unknown to W&B, ignored"),
        ("run_capp: 3\n", "run_capp: unknown to W&B, ignored; did you mean 'run_cap'?"),
        ("true: 3\n", "True: unknown to W&B, ignored"),
    ],
)
def test_unknown_keys_are_ignored_with_a_note(text: str, note: str) -> None:
    assert note in read(METRIC + PARAMETERS + text).notes


def test_the_last_of_repeated_keys_counts() -> None:
    file = read(METRIC + "parameters:\n  x: {value: 1}\n  y: {value: 2, value: 3}\n  x: {value: 4}\n")
    assert [parameter.value for parameter in file.spec.parameters.values()] == [4, 3]  # type: ignore[union-attr]
    assert "parameters.x: given twice (lines 5 and 7); as in W&B, the last one counts" in file.notes
    assert "parameters.y.value: given twice (line 6); as in W&B, the last one counts" in file.notes


def test_a_grid_tries_equal_values_once() -> None:
    file = read(METRIC + "parameters: {x: {values: [1, 2, 1.0, true, '1', [1], [true]]}}", "grid")
    assert [type(params["x"]) for params in grid(file)] == [int, int, bool, str, list, list]
    assert [params["x"] for params in grid(file)] == [1, 2, True, "1", [1], [True]]
    assert "x: 1 in values is given more than once, and so tried once" in file.notes


def test_random_chooses_a_repeated_value_more_often() -> None:
    file = read(METRIC + "parameters: {x: {values: [1, 2, true, 1]}}")
    counts = collections.Counter(repr(params["x"]) for params in samples(file, 400))
    assert counts.keys() == {"1", "2", "True"}
    assert 150 < counts["1"] < 250
    again = parse_sweep_file(file.spec.to_yaml(), Path("ours.yaml")).spec
    assert again == file.spec


def test_a_value_with_probability_0_is_never_chosen() -> None:
    file = read(METRIC + "parameters: {x: {values: [1, 2, 3], probabilities: [0.5, 0, 0.5]}}")
    assert {params["x"] for params in samples(file, 50)} == {1, 3}
    assert "x: 2 in values has the probability 0, and is never chosen" in file.notes


def test_a_group_and_a_name_with_a_dot_are_passed_separately() -> None:
    file = read(
        METRIC + "parameters:\n  a: {parameters: {b: {values: [1]}, c: {value: 5}}}\n"
        "  a.b: {values: [2]}\n  a.d: {value: 3}\n",
        "grid",
    )
    (params,) = grid(file)
    assert params == {"a.b": 1, "a.c": 5, "a.b (2)": 2, "a.d": 3}
    assert arguments(file, params) == ["--a={'b': 1, 'c': 5}", "--a.b=2", "--a.d=3"]
    assert any(note.startswith("a.b is the name of two parameters") for note in file.notes)
    again = parse_sweep_file(file.spec.to_yaml(), Path("ours.yaml")).spec
    assert again == file.spec


def test_the_keys_of_mappings_among_the_values_are_sorted() -> None:
    file = read(METRIC + "parameters: {x: {value: {b: 1, a: [{d: 1, c: 2}]}}}", "grid")
    assert arguments(file, *grid(file)) == ["--x={'a': [{'c': 2, 'd': 1}], 'b': 1}"]


@pytest.mark.parametrize(
    ("early_terminate", "reason"),
    [
        ("{type: hyperband, min_iter: 3, max_iter: 27}", "max_iter needs s"),
        ("{type: hyperband, max_iter: 27}", "max_iter needs s"),
        ("{type: hyperband, max_iter: 2, s: 2}", "it has no band: max_iter is 2, s is 2 and eta is 3"),
        ("{type: hyperband, max_iter: 27, s: 0}", "it has no band"),
        ("{type: hyperband}", "it has neither min_iter, nor max_iter and s"),
    ],
)
def test_an_early_terminate_without_bands_stops_nothing(early_terminate: str, reason: str) -> None:
    file = read(f"{METRIC}{PARAMETERS}early_terminate: {early_terminate}\n")
    assert file.spec.pruner.type == "none"
    assert any(f"W&B stops no trial with it, because {reason}" in note for note in file.notes)


def test_an_early_terminate_without_a_metric_stops_nothing() -> None:
    file = read(f"{PARAMETERS}early_terminate: {{type: hyperband, min_iter: 3}}\n")
    assert file.spec.pruner.type == "none"
    assert any("because there is no metric" in note for note in file.notes)


def test_unknown_keys_of_sections_are_ignored_with_a_note() -> None:
    file = read(
        "metric: {name: loss, goal: maximize, direction: min, foo: 1}\n"
        + PARAMETERS
        + "early_terminate: {type: hyperband, max_iter: 27, min_iter: 1, s: 2, foo: 1}\n"
    )
    assert file.spec.metric.goal == "maximize"
    assert file.spec.pruner.model_dump(exclude_unset=True) == {"type": "bands", "max_iter": 27, "s": 2}
    assert "metric.direction and metric.foo: W&B's metric has no such key; ignored" in file.notes
    assert "early_terminate.foo: W&B's hyperband has no such key; ignored" in file.notes


def test_a_metric_that_wandb_ignores_is_noted() -> None:
    named = read(f"metric: val_loss\n{PARAMETERS}")
    assert (named.spec.metric.name, named.spec.metric.goal) == ("val_loss", "minimize")
    unnamed = read(f"metric: {{goal: maximize}}\n{PARAMETERS}")
    assert unnamed.spec.metric.name == "exit_status"
    assert any(note.startswith("metric: has no name") for note in unnamed.notes)


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("{distribution: beta}", {"distribution": "beta", "a": 1, "b": 1}),
        ("{distribution: q_beta, b: 3}", {"distribution": "q_beta", "a": 1, "b": 3, "q": 1}),
        ("{distribution: normal, mu: 3, sigma: 0}", {"value": 3}),
        ("{distribution: log_normal, mu: 1, sigma: 0.0}", {"value": math.e}),
        ("{distribution: q_normal, mu: 8, sigma: 0, q: 5}", {"value": 10}),
        ("{distribution: categorical, values: [1, 1]}", {"values": [1], "probabilities": [2]}),
    ],
)
def test_what_a_distribution_leaves_out_has_wandbs_default(parameter: str, expected: dict[str, Any]) -> None:
    file = read(f"{METRIC}parameters: {{x: {parameter}}}\n")
    assert file.spec.parameters["x"].model_dump(exclude_unset=True) == expected


@pytest.mark.parametrize(
    ("parameter", "note"),
    [
        ("{min: 1, max: 2.5}", "x: one of the bounds 1 and 2.5 is a whole number; read as floats (uniform)"),
        ("{min: 1, max: 1}", "x: min and max are equal, which W&B rejects"),
        (
            "{distribution: int_uniform, min: 1.0, max: 3}",
            "x: W&B rejects bounds of int_uniform with a decimal",
        ),
        ("{value: 3, min: 1}", "x: constant has no min; ignored here, but W&B rejects it"),
        (
            "{parameters: {y: {value: 1}}, value: 3}",
            "x: a group has no value; ignored here, but W&B rejects it",
        ),
        ("{parameters: {'y z': {value: 1}}}", "x.y z: W&B rejects a group with such a name"),
        (
            "{distribution: categorical, values: [1, 2], probabilities: [0.5, 0.5]}",
            "x: categorical has no probabilities in W&B, which rejects it",
        ),
    ],
)
def test_what_wandb_would_reject_is_noted(parameter: str, note: str) -> None:
    assert any(found.startswith(note) for found in read(f"{METRIC}parameters: {{x: {parameter}}}\n").notes)


def test_a_command_is_passed_as_wandb_passes_it_and_macros_that_it_ignores_are_noted() -> None:
    file = read(
        METRIC + "parameters: {lr: {value: 0.1}}\n"
        "command: ['${env}', python, '${program}', '--lr=${lr}', 'a=${oc.env:HOME}', '${lr}', 3, true,"
        " null, '${envvar:NONE}x', '${args}']"
    )
    assert arguments(file, {"lr": 0.1}) == [
        *("--lr=${lr}", "a=${oc.env:HOME}", "3", "True", "None", "NONEx", "--lr=0.1")
    ]
    found = [note for note in file.notes if note.startswith("command: ")]
    assert [note.split(",")[0] for note in found] == [
        "command: '--lr=${lr}' is passed as it is",
        "command: W&B has no macro ${lr}",
    ]
    empty = read(METRIC + PARAMETERS + "command: []\n")
    assert empty.spec.command is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{PARAMETERS}metric: {{name: a, goal: lowest}}",
            "wb.yaml:4: metric.goal: 'lowest' is not a goal, and W&B minimizes",
        ),
        (
            "metric:\n  name: a\n  parameters: {x: {value: 1}}",
            "wb.yaml:5: metric.parameters: belongs to the top level",
        ),
        (
            "parameters:\n  x: {value: 1}\n  method: grid",
            "wb.yaml:5: parameters.method: expected a mapping, got 'grid'",
        ),
        (
            "parameters:\n  early_terminate: {type: hyperband}",
            "if early_terminate is not a parameter, it belongs to the top",
        ),
        (f"{PARAMETERS}metrics_from: {{regex: a}}", "wb.yaml:4: metrics_from: is not a key of W&B"),
        (
            "parameters: {x: {values: 3}}",
            "wb.yaml:3: parameters.x.values: expected a list such as [1, 2], got 3",
        ),
        (
            "parameters: {x: {values: [1], probabilities: [2, -1]}}",
            "parameters.x.probabilities: must be at least 0, got -1",
        ),
    ],
)
def test_what_cannot_be_meant_stays_an_error(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    (line,) = str(caught.value).splitlines()
    assert message in line


def test_wandbs_custom_schedulers_are_not_supported() -> None:
    with pytest.raises(InputError, match="W&B's schedulers are not supported; possible: grid, random, bayes"):
        read(PARAMETERS, "custom")
