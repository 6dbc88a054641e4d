"""W&B's sweep files keep W&B's semantics."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from sweep.caller import CommandLine, called_by
from sweep.errors import InputError
from sweep.space import SearchSpace
from sweep.sweepfile import SweepFile, parse_sweep_file
from sweep.sweepfile.command import NO_PROGRAM
from sweep.sweepfile.load import parse_override

HUGE = "1" + "0" * 400
HEAD = "program: train.py\nmethod: {method}\nmetric: {{name: val_loss}}\nparameters:\n"


def read(
    parameters: str, method: str = "random", more: str = "", changes: list[str] | None = None
) -> SweepFile:
    text = HEAD.format(method=method) + parameters + "\n" + more
    return parse_sweep_file(text, Path("wb.yaml"), [parse_override(change) for change in changes or []])


def translated(parameter: str) -> dict[str, Any]:
    """One parameter of a W&B file as in our sweep file."""
    dumped = read(f"  x: {parameter}").spec.parameters["x"].model_dump(exclude_unset=True)
    return dict(dumped)


@pytest.mark.parametrize(
    ("wandb", "ours"),
    [
        ("{value: 3}", {"value": 3}),
        ("{values: [1, 2.5, a]}", {"values": [1, 2.5, "a"]}),
        ("{values: [a, b], probabilities: [0.1, 0.9]}", {"values": ["a", "b"], "probabilities": [0.1, 0.9]}),
        ("{min: 1, max: 9}", {"min": 1, "max": 9}),
        ("{min: 0.5, max: 9}", {"min": 0.5, "max": 9.0}),
        ("{distribution: uniform, min: 0, max: 1}", {"min": 0.0, "max": 1.0}),
        ("{distribution: int_uniform, min: 1.0, max: 3}", {"min": 1, "max": 3}),
        ("{distribution: log_uniform_values, min: 1, max: 10}", {"min": 1.0, "max": 10.0, "log": True}),
        ("{distribution: inv_log_uniform_values, min: 1, max: 10}", {"min": 1.0, "max": 10.0, "log": True}),
        ("{distribution: log_uniform, min: 0, max: 2}", {"min": 1.0, "max": math.exp(2), "log": True}),
        ("{distribution: inv_log_uniform, min: 0, max: 2}", {"min": math.exp(-2), "max": 1.0, "log": True}),
        (
            "{distribution: q_uniform, min: 1, max: 9}",
            {"distribution": "q_uniform", "min": 1, "max": 9, "q": 1},
        ),
        (
            "{distribution: q_uniform, min: 1, max: 9, q: 2.0}",
            {"distribution": "q_uniform", "min": 1, "max": 9, "q": 2},
        ),
        ("{distribution: normal}", {"distribution": "normal", "mu": 0, "sigma": 1}),
        (
            "{distribution: q_log_normal, mu: 1, q: 0.5}",
            {"distribution": "q_log_normal", "mu": 1, "sigma": 1, "q": 0.5},
        ),
        ("{distribution: beta, a: 2, b: 5}", {"distribution": "beta", "a": 2, "b": 5}),
        (
            "{distribution: q_log_uniform, min: 0, max: 2, q: 4}",
            {"distribution": "q_log_uniform_values", "min": 1.0, "max": math.exp(2), "q": 4},
        ),
    ],
)
def test_each_distribution_is_translated(wandb: str, ours: dict[str, Any]) -> None:
    found = translated(wandb)
    assert found == ours
    assert {key: type(value) for key, value in found.items()} == {k: type(v) for k, v in ours.items()}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1e-5", 1e-5),
        ('"1e-5"', 1e-5),
        ("1e3", 1000),
        ("2.0", 2),
        ('"128"', "128"),
        ("010", 8),
        ("1_000", 1000),
    ],
)
def test_numbers_are_read_as_wandb_reads_them(value: str, number: Any) -> None:
    found = translated(f"{{value: {value}}}")["value"]
    assert (found, type(found)) == (number, type(number))


def test_a_grid_is_ordered_by_name_and_the_last_parameter_varies_fastest() -> None:
    spec = read(
        "  b: {values: [2, 1]}\n  c: {value: 7}\n"
        "  a: {parameters: {y: {values: [3, 4]}, x: {min: 1, max: 2}}}",
        "grid",
    ).spec
    grid = SearchSpace.of(spec).check_grid()
    expected = [{"a.x": x, "a.y": y, "b": b, "c": 7} for x, y, b in itertools.product([1, 2], [3, 4], [2, 1])]
    assert [grid.values(index) for index in range(grid.size)] == expected


def test_q_uniform_in_a_grid_has_steps_of_q_below_max() -> None:
    spec = read("  a: {distribution: q_uniform, min: 1, max: 11, q: 4}", "grid").spec
    grid = SearchSpace.of(spec).check_grid()
    assert [grid.values(index)["a"] for index in range(grid.size)] == [1, 5, 9]


def test_all_other_keys_are_translated() -> None:
    more = (
        "name: my sweep!\nrun_cap: 20\nproject: p\nentity: e\n"
        "early_terminate: {type: hyperband, max_iter: 27, min_iter: 3, s: 2, eta: 3, strict: true}\n"
        "command: [python3, '${program}', '${args_no_hyphens}']"
    )
    file = read("  x: {min: 0.0, max: 1.0}", "bayes", more)
    spec = file.spec
    assert spec.name == "my-sweep"
    assert spec.sampler.type == "tpe"
    assert spec.stop.trials == 20
    assert spec.metric.goal == "minimize"
    assert spec.pruner.model_dump(exclude_unset=True) == {
        "type": "bands",
        "max_iter": 27,
        "s": 2,
        "eta": 3,
        "strict": True,
    }
    assert spec.command == ("python3", "${program}", "${args_no_hyphens}")
    assert spec.arguments == "nested"
    assert file.notes == (
        "project and entity of W&B: not used here, ignored",
        "bayes: TPE chooses the configurations, where W&B uses a Gaussian process",
    )


def test_a_target_of_the_metric_stops_the_sweep() -> None:
    text = (
        "program: a.py\nmethod: random\nmetric: {name: acc, goal: maximize, target: 0.9}\n"
        "parameters: {x: {value: 1}}"
    )
    assert parse_sweep_file(text, Path("wb.yaml")).spec.stop.target == 0.9


def test_overrides_can_name_entries_of_either_format() -> None:
    changes = ["method=grid", "stop.trials=3", "parameters.x={values: [1, 2]}", "objective=a.py:f"]
    spec = read("  x: {min: 1, max: 2}", changes=changes).spec
    assert (spec.sampler.type, spec.stop.trials) == ("grid", 3)
    assert (spec.objective, spec.program, spec.arguments) == ("a.py:f", None, "dotted")


def test_without_a_metric_the_exit_status_counts_and_a_missing_program_is_noted() -> None:
    file = parse_sweep_file("method: random\nparameters: {x: {value: 1}}", Path("wb.yaml"))
    assert file.spec.metric.name == "exit_status"
    assert file.spec.program == NO_PROGRAM
    assert any(
        "add overrides={'program': 'train.py'}, or overrides={'objective'" in note for note in file.notes
    )
    with called_by(CommandLine(["run", "wb.yaml"])):
        file = parse_sweep_file("method: random\nparameters: {x: {value: 1}}", Path("wb.yaml"))
    assert any("add --set program=train.py, or --set objective=" in note for note in file.notes)


@pytest.mark.parametrize(
    ("parameters", "note"),
    [
        ("  x: {min: 1, max: 2, mu: 3}", "x: int_uniform has no mu; ignored"),
        (
            "  x: {distribution: log_uniform, min: 0.0001, max: 0.1}",
            "x: the bounds of log_uniform are exponents of e, and 0.0001 to 0.1 look like values",
        ),
    ],
)
def test_probable_mistakes_are_noted(parameters: str, note: str) -> None:
    assert any(found.startswith(note) for found in read(parameters).notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "method: gird\nparameters: {x: {value: 1}}",
            "wb.yaml:1: method: 'gird' is not a method; did you mean 'grid'?",
        ),
        ("method: grid\nsampler: tpe", "wb.yaml:2: sampler: is not a key of W&B; write method"),
        ("method: grid\nparamters: {}", "wb.yaml:2: paramters: unknown key; did you mean 'parameters'?"),
        ("method: grid", "wb.yaml:1: parameters: is missing"),
        ("method: bayes\nparameters: {x: {value: 1}}", "wb.yaml:1: metric: is missing, and bayes needs it"),
        ("method: grid\nparameters:\n  x: {min: 0.0, max: 1.0}", "wb.yaml:3: parameters.x: W&B's grid takes"),
        (
            "method: grid\nparameters:\n  x: {values: [1, 2], probabilities: [0.5, 0.5]}",
            "wb.yaml:3: parameters.x: W&B's grid takes",
        ),
        (
            "method: random\nparameters:\n  x: [1, 2]",
            "wb.yaml:3: parameters.x: expected a mapping, got [1, 2]",
        ),
        ("method: random\nparameters:\n  x: {min: 1}", "wb.yaml:3: parameters.x.max: is missing"),
        (
            "method: random\nparameters:\n  x: {min: a, max: 2}",
            "wb.yaml:3: parameters.x.min: expected a number",
        ),
        (
            "method: random\nparameters:\n  x: {vals: [1]}",
            "parameters.x.vals: unknown key; did you mean 'values'?",
        ),
        ("method: random\nparameters:\n  x: {distribution: nrmal}", "did you mean 'normal'?"),
        (
            f"method: random\nparameters:\n  x: {{min: 1, max: {HUGE}}}",
            "wb.yaml:3: parameters.x.max: expected a smaller number, got 1000",
        ),
        (
            f"method: random\nmetric: {{name: a, target: {HUGE}}}\nparameters: {{x: {{value: 1}}}}",
            "wb.yaml:2: metric.target: expected a smaller number, got 1000",
        ),
        (
            "method: random\nmetric: {name: a, target: .inf}\nparameters: {x: {value: 1}}",
            "wb.yaml:2: metric.target: expected a finite number, got inf",
        ),
        (
            "method: random\nparameters:\n  x: {distribution: q_normal, mu: 1, sigma: 0, q: 0}",
            "wb.yaml:3: parameters.x.q: must be at least 1e-100, got 0",
        ),
        (
            "method: random\nparameters:\n  x: {distribution: q_normal, mu: 1, sigma: 0, q: -2}",
            "wb.yaml:3: parameters.x.q: must be at least 1e-100, got -2",
        ),
        (
            "method: random\nparameters:\n  x: {distribution: q_normal, mu: 1e100, sigma: 0, q: 1e-300}",
            "wb.yaml:3: parameters.x.q: must be at least 1e-100, got 1e-300",
        ),
        (
            "method: random\nparameters:\n  x: {distribution: q_log_normal, mu: 700, sigma: 0, q: 1e-90}",
            "wb.yaml:3: parameters.x.mu: is the mean of the logarithm; write a smaller one",
        ),
        (
            "method: random\nparameters:\n  x: {min: 5, max: 1}",
            "wb.yaml:3: parameters.x.max: max 1 is below min 5",
        ),
        (
            "method: random\nparameters:\n  x: {values: [1, 2], probabilities: [0.5, 0.6]}",
            "parameters.x.probabilities: must sum to 1",
        ),
        (
            "method: random\nparameters: {x: {value: 1}}\nearly_terminate: {type: envelope}",
            "wb.yaml:3: early_terminate.type: 'envelope' is not known",
        ),
        (
            "method: random\nrun_cap: many\nparameters: {x: {value: 1}}",
            "wb.yaml:2: run_cap: expected a whole number",
        ),
    ],
)
def test_what_wandb_rejects_is_one_located_error(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_sweep_file(text, Path("wb.yaml"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_converted_file_is_the_same_sweep(tmp_path: Path) -> None:
    parameters = "  x: {distribution: q_normal, mu: 3, q: 2}\n  g: {parameters: {y: {values: [1.0, 'a']}}}"
    spec = read(parameters, "bayes", "run_cap: 3\nearly_terminate: {type: hyperband, min_iter: 3}").spec
    again = parse_sweep_file(spec.to_yaml(), tmp_path / "ours.yaml").spec
    assert again == spec
    assert again.to_yaml() == spec.to_yaml()


def test_an_override_of_a_wandb_entry_follows_wandbs_semantics() -> None:
    parameters = (
        "  x: {distribution: log_uniform, min: -10, max: 0}\n  s: {parameters: {m: {min: 0.5, max: 1.5}}}"
    )
    spec = read(
        parameters,
        changes=["parameters.x.max=2", "parameters.s.parameters.m.max=9", "metric.target=0.1"],
    ).spec
    assert spec.parameters["x"].model_dump()["max"] == math.exp(2)
    assert spec.stop.target == 0.1
    assert SearchSpace.of(spec).parameters["s.m"].model_dump()["max"] == 9.0
    changed = read(
        parameters,
        changes=["parameters.x.distribution=log_uniform_values", "parameters.x.min=1", "parameters.x.max=2"],
    )
    assert changed.spec.parameters["x"].model_dump()["min"] == 1.0


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("method: [grid]\n", 1, "method: ['grid'] is not a method"),
        ("method: random\nparameters: {x: {distribution: [uniform]}}\n", 2, "is not a distribution"),
        ("method: random\nparameters: {x: {value: 1}}\nstop: 20\n", 3, "stop: expected a mapping such as"),
        ("method: random\nparameters: {x: {value: 1}}\ncommand: 5\n", 3, "command: "),
        (
            "method: random\nmetric: {name: a}\nparameters: {x: {value: 1}}\n"
            "early_terminate: {type: hyperband, min_iter: 3, eta: 1}\n",
            4,
            "early_terminate.eta: must be greater than 1",
        ),
        ("method: random\nparameters: {x: {value: 1}}\nrun_cap: 0\n", 3, "run_cap: "),
        (
            "method: random\nparameters: {x: {value: 1}}\nstop: {hours: 1}\nrun_cap: 0\n",
            4,
            "run_cap: must be greater than 0",
        ),
        (
            "method: random\nmetric: {name: a}\nparameters: {x: {value: 1}}\nstop:\n  target: abc\n",
            5,
            "stop.target: expected a number, got 'abc'",
        ),
        (
            "method: random\nparameters: {x: {value: 1}}\nstop:\n  trials: 0\n",
            4,
            "stop.trials: must be greater than 0",
        ),
    ],
)
def test_mistakes_are_named_by_the_keys_of_the_file(text: str, line: int, message: str) -> None:
    with pytest.raises(InputError) as found:
        parse_sweep_file(text, Path("wb.yaml"))
    assert str(found.value).startswith(f"wb.yaml:{line}: ")
    assert message in str(found.value)


def test_numbers_in_the_keys_of_this_tool_are_read_as_in_the_rest_of_the_file() -> None:
    spec = read(
        "  lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-1, default: 1e-3}\n"
        "  k: {values: [1e-3, 2]}\n  m: {value: 1, when: {k: 1e-3}}",
        more="enqueue: [{lr: 1e-3, k: 1e-3}]\nstop: {target: 1e-3, hours: 1e0}\ntrial: {timeout: 1e3}\n"
        "env: {A: 1e3}\nresources: {cpu: 5e-1, labels: {host: 1e3}, custom: {disk: 1e0}}\n"
        "repeats: {seeds: [1e1]}\nmax_parallel: 1e1\n",
    ).spec
    lr, m = spec.parameters["lr"], spec.parameters["m"]
    assert (lr.default, m.when) == (1e-3, {"k": (1e-3,)})  # type: ignore[union-attr]
    assert spec.enqueue == ({"lr": 1e-3, "k": 1e-3},)
    assert (spec.stop.target, spec.stop.hours, spec.trial.timeout) == (1e-3, 1, 1000)
    assert (spec.resources.cpu, spec.resources.custom, spec.max_parallel) == (0.5, {"disk": 1}, 10)
    assert spec.repeats is not None
    assert spec.repeats.seeds == (10,)
    assert (spec.env, spec.resources.labels) == ({"A": "1e3"}, {"host": "1e3"}), "text stays text"


def test_an_override_of_a_whole_entry_can_have_the_keys_of_either_format() -> None:
    parameters = "  x: {min: 1, max: 2}\n  s: {parameters: {m: {min: 0.5, max: 1.5}}}"
    theirs = [
        "metric={name: q, goal: maximize, target: 3}",
        "parameters.x={distribution: uniform, min: 0, max: 1}",
        "parameters.s={parameters: {m: {distribution: log_uniform, min: -10, max: 0}}}",
    ]
    spec = read(parameters, changes=theirs).spec
    assert (spec.metric.name, spec.metric.goal, spec.stop.target) == ("q", "maximize", 3)
    assert spec.parameters["x"].model_dump(exclude_unset=True) == {"min": 0.0, "max": 1.0}
    assert SearchSpace.of(spec).parameters["s.m"].model_dump()["min"] == math.exp(-10)
    whole = read(parameters, changes=["parameters={y: {distribution: int_uniform, min: 0, max: 3}}"]).spec
    assert list(whole.parameters) == ["y"]
    ours = ["parameters.x={min: 1, max: 9, log: true}", "parameters.s={parameters: {m: 3}}"]
    changed = read(parameters, changes=ours).spec
    assert changed.parameters["x"].model_dump(exclude_unset=True) == {"min": 1, "max": 9, "log": True}
    assert SearchSpace.of(changed).parameters["s.m"].model_dump(exclude_unset=True) == {"value": 3}


def test_an_override_can_change_a_nested_parameter_that_is_named_as_a_key() -> None:
    parameters = "  s: {parameters: {q: {value: 1}}}\n  parameters: {min: 1, max: 2}"
    spec = read(parameters, changes=["parameters.s.parameters.q=3", "parameters.parameters.max=9"]).spec
    found = SearchSpace.of(spec).parameters
    assert found["s.q"].model_dump(exclude_unset=True) == {"value": 3}
    assert found["parameters"].model_dump(exclude_unset=True) == {"min": 1, "max": 9}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stop.trials=0", "--set stop.trials=0: stop.trials: must be greater than 0"),
        ("run_cap=0", "--set run_cap=0: run_cap: must be greater than 0"),
        ("pruner={type: bands, min_iter: 3, eta: 1}", "eta: 1}: pruner.eta: must be greater than 1"),
    ],
)
def test_a_mistake_in_an_override_is_named_by_the_key_of_the_override(change: str, message: str) -> None:
    more = "run_cap: 5\nearly_terminate: {type: hyperband, min_iter: 3}"
    with pytest.raises(InputError) as found:
        read("  x: {value: 1}", more=more, changes=[change])
    assert message in str(found.value)
