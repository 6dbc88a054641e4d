"""Samplers as they are written in a sweep file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.errors import SpecError
from sweep.sweepfile import SweepSpec, parse_sweep_file, samplers
from sweep.sweepfile.samplers import SAMPLERS, CustomSampler

GOOD = """\
objective: train.py:train
metric: {name: loss, goal: minimize}
parameters:
  x: {min: 0.0, max: 1.0}
"""


def parse(sampler: Any) -> SweepSpec:
    text = GOOD + f"sampler: {json.dumps(sampler)}\n"
    return parse_sweep_file(text, Path("dir/space.yaml")).spec


@pytest.mark.parametrize("type_", SAMPLERS)
def test_every_type_has_a_seed_and_a_short_form(type_: str) -> None:
    assert parse(type_) == parse({"type": type_})
    assert parse({"type": type_, "seed": 7}).sampler.seed == 7


def test_an_options_mapping_without_type_means_tpe() -> None:
    assert parse({"startup_trials": 3}).sampler == parse({"type": "tpe", "n_startup_trials": 3}).sampler


@pytest.mark.parametrize(
    "sampler",
    [
        {"type": "tpe", "startup_trials": 3, "group": True, "seed": 0},
        {"type": "nsga2", "crossover": "sbx", "population_size": 20},
        {"type": "pack.age:Class", "seed": 3, "depth": [1, 2.5, None], "nothing": None, "words": {"a": "b"}},
        {"type": "pack.age:Class"},
        {"type": "hub:auto_sampler"},
        {"type": "hub:some/where:Class", "on": True},
    ],
)
def test_a_sampler_is_written_back_as_it_was_read(sampler: dict[str, Any]) -> None:
    spec = parse(sampler)
    again = parse_sweep_file(spec.to_yaml(), Path("space.yaml")).spec
    assert again == spec
    assert yaml.safe_load(spec.to_yaml())["sampler"] == sampler


def test_all_keys_of_a_custom_sampler_are_its_options() -> None:
    sampler = parse({"type": "a.b:C", "seed": 3, "depth": 2, "nothing": None}).sampler
    assert isinstance(sampler, CustomSampler)
    assert (sampler.seed, sampler.options) == (3, {"depth": 2, "nothing": None})


MISTAKES: list[tuple[Any, str]] = [
    ("tpee", "type: unknown type 'tpee'; did you mean 'tpe'?"),
    ({"type": 3}, "type: unknown type 3; possible: tpe, gp, cmaes"),
    ({"type": "tpe", "seed": -1}, "seed: must be at least 0, got -1"),
    ({"type": "tpe", "startup_trial": 1}, "startup_trial: unknown key; did you mean 'startup_trials'?"),
    ({"type": "tpe", "startup_trials": 1, "n_startup_trials": 1}, "n_startup_trials: is the same as"),
    ({"type": "tpe", "startup_trials": -1}, "startup_trials: must be at least 0, got -1"),
    ({"type": "tpe", "n_startup_trials": 1.5}, "n_startup_trials: expected a whole number, got 1.5"),
    ({"type": "tpe", "ei_candidates": 0}, "ei_candidates: must be greater than 0, got 0"),
    ({"type": "tpe", "group": "yes!"}, "group: expected true or false, got 'yes!'"),
    ({"type": "tpe", "multivariate": 1}, "multivariate: expected true or false, got 1"),
    ({"type": "tpe", "constant_liar": 1}, "constant_liar: expected true or false, got 1"),
    ({"type": "tpe", "group": True, "multivariate": False}, "group: needs multivariate: true"),
    ({"type": "tpe", "gamma": 3}, "gamma: unknown key"),
    ({"type": "gp", "deterministic_objective": 0}, "deterministic_objective: expected true or false, got 0"),
    ({"type": "cmaes", "popsize": 1}, "popsize: must be at least 2, got 1"),
    (
        {"type": "cmaes", "with_margin": True, "lr_adapt": True},
        "lr_adapt: cannot be combined with with_margin; leave one out",
    ),
    ({"type": "nsga2", "population_size": 1}, "population_size: must be at least 2, got 1"),
    (
        {"type": "nsga2", "population_size": 2, "crossover": "spx"},
        "population_size: must be at least 3: spx has three parents",
    ),
    ({"type": "nsga2", "crossover": "sbxx"}, "crossover: 'sbxx' is not valid; did you mean 'sbx'?"),
    ({"type": "nsga2", "mutation": "x"}, "mutation: 'x' is not valid; possible: polynomial"),
    ({"type": "nsga3", "crossover_prob": 1.1}, "crossover_prob: must be at most 1, got 1.1"),
    ({"type": "nsga3", "mutation_prob": -1}, "mutation_prob: must be at least 0, got -1"),
    ({"type": "nsga3", "dividing_parameter": 0}, "dividing_parameter: must be greater than 0, got 0"),
    ({"type": "nsga2", "dividing_parameter": 3}, "dividing_parameter: unknown key"),
    ({"type": "qmc", "qmc_type": "sobel"}, "qmc_type: 'sobel' is not valid; did you mean 'sobol'?"),
    ({"type": "random", "scramble": True}, "scramble: unknown key; possible: seed, type"),
    ({"type": "own.py:Mine"}, "type: 'own.py:Mine' is not the name of a class; write own:Mine"),
    ({"type": "sub/own.py:Mine"}, "type: 'sub/own.py:Mine' is not the name of a class; write sub.own:Mine"),
    ({"type": "own:"}, "type: 'own:' is not the name of a class; write own:Class"),
    ({"type": ":Mine"}, "type: ':Mine' is not the name of a class; write package.module:Class"),
    ({"type": "own.py"}, "type: 'own.py' is not the name of a class; write own:Class"),
    ({"type": "hub:"}, "type: 'hub:' is not the name of a package; write for example hub:auto_sampler"),
    ({"type": "a:B", "seed": "x"}, "seed: expected a whole number, got 'x'"),
    ({"type": "a:B", "big-one": 1}, "big-one: 'big-one' cannot be the name of an option"),
    ({"type": "a:B", "x": 1e300}, "x: 1e+300 cannot be used; give a finite number or a string"),
]


@pytest.mark.parametrize(("sampler", "message"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_gets_one_line_that_says_what_to_write(sampler: Any, message: str) -> None:
    with pytest.raises(SpecError) as error:
        parse(sampler)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"dir/space.yaml:5: sampler.{message}")


def test_a_value_that_is_not_a_sampler_is_an_error_of_one_line() -> None:
    with pytest.raises(SpecError, match=r"^dir/space.yaml:5: sampler: expected a mapping such as .*, got 3$"):
        parse(3)


def test_every_model_of_a_sampler_is_a_type_that_a_file_can_name() -> None:
    models = {*samplers._Sampler.__subclasses__(), *samplers._GeneticSampler.__subclasses__()}
    assert models - {samplers._GeneticSampler} == {*SAMPLERS.values()}
