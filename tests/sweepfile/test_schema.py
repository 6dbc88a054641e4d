"""The JSON Schema of sweep files: it accepts what `sweep check` accepts, and rejects common mistakes."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sweep.errors import SpecError
from sweep.sweepfile import parse_sweep_file
from sweep.sweepfile.parameters import DISTRIBUTIONS
from sweep.sweepfile.pruners import PRUNERS
from sweep.sweepfile.samplers import SAMPLERS
from sweep.sweepfile.schema import json_schema
from sweep.sweepfile.yaml import read_value, write_yaml
from tests.conftest import REPOSITORY
from tests.sweepfile.test_pruners import EXAMPLES

VALIDATOR = Draft202012Validator(json_schema())
GOOD: dict[str, Any] = {
    "objective": "train.py:train",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"x": {"min": 0.0, "max": 1.0}},
}


def read(data: dict[str, Any]) -> Any:
    """The spec that `sweep check` reads from a file with this content."""
    return parse_sweep_file(write_yaml(data), Path("space.yaml")).spec


def accepts(data: Any) -> bool:
    return bool(VALIDATOR.is_valid(data))


def changed(**keys: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **keys}


def with_parameter(parameter: Any) -> dict[str, Any]:
    return changed(parameters={"optimizer": {"values": ["sgd", "adam"]}, "p": parameter})


def test_it_is_a_json_schema_with_its_dialect() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


READY_MADE = sorted((REPOSITORY / "search_spaces").glob("*.yaml"))


@pytest.mark.parametrize("file", READY_MADE, ids=lambda path: path.name)
def test_the_ready_made_sweep_files_are_valid(file: Path) -> None:
    VALIDATOR.validate(read_value(file.read_text()))


def test_the_sweep_files_in_the_readme_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    files = [data for data in map(read_value, blocks) if isinstance(data, dict) and "parameters" in data]
    assert len(files) >= 2
    for data in files:
        VALIDATOR.validate(data)


OPTIONS: dict[str, dict[str, Any]] = {
    **EXAMPLES,
    "percentile": {"percentile": 75, "n_startup_trials": 4},
    "nsga2": {"crossover": "sbx", "mutation": "polynomial", "population_size": 20},
    "qmc": {"qmc_type": "halton"},
}
SHAPES: dict[str, dict[str, Any]] = {
    "normal": {},
    "log_normal": {"mu": -3, "sigma": 0.5},
    "beta": {"a": 2, "b": 5},
    "q_uniform": {"min": 0, "max": 9, "q": 3},
    "q_log_uniform_values": {"min": 1, "max": 100},
    "q_normal": {"q": 0.5},
    "q_log_normal": {},
    "q_beta": {"a": 1, "b": 1, "q": 0.1},
}

VALID = [
    *(changed(sampler={"type": name, "seed": 7, **OPTIONS.get(name, {})}) for name in SAMPLERS),
    *(changed(sampler=name) for name in SAMPLERS),
    *(changed(pruner={"type": name, **OPTIONS.get(name, {})}) for name in PRUNERS),
    *(changed(pruner=name) for name in ("none", "median", "asha", "hyperband", "wilcoxon", "a.b:C")),
    *(with_parameter({"distribution": name, **SHAPES[name]}) for name in DISTRIBUTIONS),
    changed(sampler={"n_startup_trials": 3, "multivariate": True}),
    changed(sampler="hub:auto_sampler"),
    changed(sampler={"type": "hub:some/where:Class", "any": {"option": [1]}}),
    changed(sampler="package.module:Class"),
    changed(pruner={"type": "package.module:Class", "depth": 2}),
    changed(pruner={"type": "patient", "patience": 2, "wrapped": {"type": "asha", "min_resource": "auto"}}),
    changed(pruner={"type": "patient", "patience": 2, "wrapped": "median"}),
    changed(pruner={"type": "median", "n_warmup_steps": 1, "min_trials": 2}),
    changed(pruner={"type": "threshold", "upper": 2.5, "warmup_steps": 3}),
    changed(pruner={"type": "patient", "patience": 2, "wrapped": "a.b:C"}),
    *(with_parameter(value) for value in (3, 0.5, "word", True, None)),
    with_parameter({"value": [1, {"a": 2}]}),
    with_parameter({"values": [2, "a", None, True]}),
    with_parameter({"values": [1, 2], "probabilities": [0.5, 3], "default": 2}),
    with_parameter({"min": 1, "max": 1e3}),
    with_parameter({"min": 1, "max": 9, "step": 2, "default": 3}),
    with_parameter({"min": 1e-5, "max": 1e-1, "log": True, "or": [0, "off"]}),
    with_parameter({"min": 0.0, "max": 1.0, "when": {"optimizer": "sgd"}}),
    with_parameter({"value": 1, "when": {"optimizer": ["sgd", "adam"]}}),
    with_parameter({"parameters": {"a": 1, "b": {"parameters": {"c": {"min": 1, "max": 2}}}}}),
    with_parameter({"when": {"optimizer": "sgd"}, "parameters": {"a": {"values": [1]}}}),
    changed(parameters="define-by-run"),
    changed(repeats=3),
    changed(repeats={"seeds": 3, "reduce": "median"}),
    changed(repeats={"seeds": [42, 43]}),
    changed(constraints="x <= 0.5"),
    changed(constraints=["x <= 0.5", "x > 0.1"]),
    changed(enqueue="defaults"),
    changed(enqueue={"x": 0.5}),
    changed(enqueue=["defaults", {"x": 0.5}]),
    changed(stop={"trials": 20, "hours": 0.5, "target": -1, "failures": 3, "plateau": 10}),
    changed(stop={"trials": 1e3}),
    changed(stop={"time": "12h"}),
    changed(stop={"time": 90}),
    changed(stop=None, sampler=None, pruner=None, name=None) | {"name": "a-name"},
    changed(trial={"timeout": "30m", "retries": 0, "retry_on": "crash", "backoff": 0}),
    changed(trial={"timeout": 90, "retry_on": ["oom", "timeout", "error", "lost_node"], "backoff": "1.5 h"}),
    changed(trial={"keep_checkpoints": 2, "recycle_after": 5, "recycle_at_gb": 1.5, "isolate": True}),
    changed(resources={"cpu": 0.5, "gpu": 2}, max_parallel=4, storage="sqlite:///x.db", cwd="there"),
    changed(env={"DATA": "/data", "ON": True, "N": 3, "F": 0.5}),
    changed(objective=None, program="train.py", command=["${interpreter}", "${program}", 1, True, "${args}"]),
    changed(objective=None, command=["./run", "${args_json}"], arguments="nested"),
    changed(
        metric=None,
        metrics=[
            {"name": "acc", "goal": "maximize"},
            {"name": "ms", "constraint": "<= 20"},
            {"name": "mb", "goal": "minimize", "constraint": "< 9"},
        ],
    ),
]


@pytest.mark.parametrize("data", VALID, ids=lambda data: json.dumps(data)[-60:])
def test_what_check_accepts_is_valid_as_it_is_and_when_written(data: dict[str, Any]) -> None:
    spec = read(data)
    VALIDATOR.validate(data)
    VALIDATOR.validate(yaml.safe_load(spec.to_yaml()))


WRONG = {
    "unknown key": changed(samplr="tpe"),
    "unknown key of a parameter": with_parameter({"min": 1, "max": 2, "lgo": True}),
    "unknown key of a sampler": changed(sampler={"type": "random", "startup_trials": 3}),
    "unknown key of a pruner": changed(pruner={"type": "median", "warmup": 3}),
    "unknown sampler": changed(sampler="gpp"),
    "unknown sampler in a mapping": changed(sampler={"type": "gpp"}),
    "unknown pruner": changed(pruner={"type": "medain"}),
    "pruner that needs more than its name": changed(pruner="percentile"),
    "pruner without a type": changed(pruner={"warmup_steps": 1}),
    "patient twice": changed(pruner={"type": "patient", "patience": 1, "wrapped": "patient"}),
    "unknown goal": changed(metric={"name": "loss", "goal": "minimise"}),
    "metric without a goal": changed(metric="loss"),
    "metrics that are none": changed(metric=None, metrics=[]),
    "metric that asks for nothing": changed(metric=None, metrics=[{"name": "loss"}]),
    "no metric": {key: value for key, value in GOOD.items() if key != "metric"},
    "nothing to run": {key: value for key, value in GOOD.items() if key != "objective"},
    "no parameters": {key: value for key, value in GOOD.items() if key != "parameters"},
    "empty parameters": changed(parameters={}),
    "parameter that is a list": with_parameter([1, 2]),
    "range with one bound": with_parameter({"min": 1}),
    "range of strings": with_parameter({"min": "a", "max": "b"}),
    "log that is not a boolean": with_parameter({"min": 1, "max": 2, "log": "yes"}),
    "unknown distribution": with_parameter({"distribution": "gauss"}),
    "negative probability": with_parameter({"values": [1, 2], "probabilities": [1, -1]}),
    "empty condition": with_parameter({"value": 1, "when": {}}),
    "mistake in a group": with_parameter({"parameters": {"a": {"parameters": {"b": {"values": 3}}}}}),
    "unknown crossover": changed(sampler={"type": "nsga2", "crossover": "blx"}),
    "percentile beyond 100": changed(pruner={"type": "percentile", "percentile": 101}),
    "threshold without limits": changed(pruner={"type": "threshold"}),
    "number that is a string": changed(stop={"trials": "ten"}),
    "number that is a boolean": changed(stop={"trials": True}),
    "no trials": changed(stop={"trials": 0}),
    "duration without a known unit": changed(trial={"timeout": "30 min"}),
    "time that is not a duration": changed(stop={"time": "0h 30m"}),
    "duration of 0": changed(trial={"timeout": 0}),
    "unknown cause": changed(trial={"retry_on": ["crash", "boredom"]}),
    "unknown reduction": changed(repeats={"seeds": 3, "reduce": "avg"}),
    "repeats that are a list": changed(repeats=[1, 2]),
    "duplicate seed": changed(repeats={"seeds": [1, 1]}),
    "command that is a line": changed(objective=None, command="python train.py"),
    "variable that is a list": changed(env={"A": [1]}),
    "unknown way of arguments": changed(objective=None, program="a.py", arguments="flat"),
    "name with a slash": changed(name="a/b"),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_a_mistake_is_rejected_by_the_schema_and_by_check(data: dict[str, Any]) -> None:
    assert not accepts(data)
    with pytest.raises(SpecError):
        read(data)


def test_keys_are_described_by_the_docstrings_and_enumerated_for_completion() -> None:
    schema = json_schema()
    retry_on = schema["$defs"]["TrialRules"]["properties"]["retry_on"]
    assert "`retries` times if `retry_on` names its cause" in retry_on["description"]
    assert retry_on["anyOf"][0] == {"enum": ["crash", "oom", "lost_node", "timeout", "error"]}
    assert schema["$defs"]["TpeSampler"]["properties"]["type"]["const"] == "tpe"
    described = {key for key, one in schema["properties"].items() if "description" in one}
    by_reference = {"resources", "stop", "trial", "repeats"}
    assert described | by_reference == schema["properties"].keys()
    assert not any("default" in one for one in schema["$defs"]["Stop"]["properties"].values())


NUMBERS = st.floats(1e-6, 1e6).map(lambda value: float(f"{value:.6g}"))
LEAVES = st.one_of(
    st.none() | st.booleans() | st.integers(-99, 99) | NUMBERS | st.text("abc", min_size=1),
    st.builds(
        lambda a, b, log: {"min": min(a, b), "max": max(a, b), "log": log}, NUMBERS, NUMBERS, st.booleans()
    ),
    st.lists(st.integers() | st.text("xyz"), min_size=1, max_size=4, unique=True).map(
        lambda v: {"values": v}
    ),
    st.sampled_from([{"distribution": name, **shape} for name, shape in SHAPES.items()]),
)
SPACES = st.dictionaries(
    st.text("abcdefgh", min_size=1),
    st.recursive(
        LEAVES,
        lambda inner: st.dictionaries(st.text("ijklm", min_size=1), inner, min_size=1, max_size=3).map(
            lambda parameters: {"parameters": parameters}
        ),
        max_leaves=6,
    ),
    min_size=1,
    max_size=5,
)
REST = [
    {key: data[key] for key in data if key not in ("parameters", "constraints", "enqueue")} for data in VALID
]


@settings(max_examples=60)
@given(space=SPACES, rest=st.sampled_from(REST))
def test_the_schema_accepts_what_check_accepts(space: dict[str, Any], rest: dict[str, Any]) -> None:
    data = {**rest, "parameters": space}
    spec = read(data)
    VALIDATOR.validate(data)
    VALIDATOR.validate(read_value(spec.to_yaml()))
