"""Reads a configuration of Hydra's Optuna sweeper, such as `configs/hparams_search/mnist_optuna.yaml`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from sweep.errors import InputError
from sweep.objective.source_info import Source, arguments_of
from sweep.objective.source_study import SAMPLERS, note_storage, store, store_jobs
from sweep.sweepfile.files import find_file
from sweep.sweepfile.model import Stop
from sweep.sweepfile.samplers import Sampler

_KEYWORDS = {"true": True, "false": False, "null": None}


def read_hydra_sweep(target: str) -> Source:
    """Read the search space, the study and the metric of a sweeper's configuration.

    Args:
        target: the path of the configuration.

    Raises:
        InputError: it has no parameters of Hydra's sweeper.
    """
    file = find_file("TARGET", target, [Path()], "*.yaml")
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise InputError(f"{target}: cannot be read: {' '.join(str(error).split())}") from None
    sweeper = _at(config, "hydra", "sweeper")
    params = {**_at(sweeper, "search_space"), **_at(sweeper, "params")}
    if not params:
        raise InputError(
            f"{target}: has no hydra.sweeper.params; name a Python file, or for a W&B file use sweep convert"
        )
    source = Source("program", "train.py", command=["${interpreter}", "${program}", "${args_hydra}"])
    programs = list(_hydra_programs())
    if len(programs) == 1:
        source.target = programs[0]
    else:
        source.to_do = "name the program that Hydra starts"
    for name, value in params.items():
        if isinstance(value, dict):
            source.add(str(name), _distribution(value))
        else:
            source.add(str(name), _override(value) if isinstance(value, str) else value)
        if str(name) in source.examples:
            source.notes.append(f"{name}: {value} cannot be translated")
    direction = sweeper.get("direction", "minimize")
    source.study["goals"] = direction if isinstance(direction, list) else [direction]
    if not all(goal in ("minimize", "maximize") for goal in source.study["goals"]):
        del source.study["goals"]
    metric = config.get("optimized_metric")
    source.metrics = [metric] if isinstance(metric, str) else []
    source.notes.append(
        "metric: a value that the program logs or prints under this name, not what it returns to Hydra"
    )
    store("stop", {"trials": sweeper.get("n_trials", 20)}, TypeAdapter(Stop), source)
    store_jobs([sweeper.get("n_jobs")], source)
    note_storage(sweeper.get("storage"), source)
    sampler = _at(sweeper, "sampler")
    type_ = SAMPLERS.get(str(sampler.pop("_target_", "")).split(".")[-1])
    options = {key: option for key, option in sampler.items() if option is not None}
    if type_ and not store("sampler", {"type": type_, **options}, TypeAdapter(Sampler), source):
        store("sampler", {"type": type_}, TypeAdapter(Sampler), source)
        source.notes.append(f"sampler: the file has the options {options}")
    return source


def _at(config: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return dict(config) if isinstance(config, dict) else {}


def _hydra_programs() -> Iterator[str]:
    for path in sorted([*Path().glob("*.py"), *Path().glob("*/*.py")]):
        if b"hydra.main(" in path.read_bytes():
            yield str(path)


def _distribution(config: dict[str, Any]) -> dict[str, Any] | None:
    """An entry of `search_space`, `{type: float, low: 0, high: 1, log: true}`; None if it is invalid."""
    if "choices" in config:
        return {"values": config["choices"]}
    number = int if config.get("type") == "int" else float
    keys = {"low": "min", "high": "max", "step": "step"}
    try:
        found = {new: number(config[key]) for key, new in keys.items() if config.get(key) is not None}
    except (TypeError, ValueError):
        return None
    return {**found, "log": True} if config.get("log") else found


def _override(text: str) -> Any:
    """A sweep in Hydra's grammar as in a sweep file; the value itself if it is none; None if not certain."""
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None if set(text) & set("(,") else text
    try:
        if isinstance(node, ast.Call):
            return _sweep(node, text)
        if isinstance(node, ast.Tuple):
            return {"values": [_value(element, text) for element in node.elts]}
        return _value(node, text)
    except ValueError:
        return None


def _sweep(call: ast.Call, text: str) -> dict[str, Any]:
    """A call such as `choice(a, b)` as in a sweep file.

    Raises:
        ValueError: it is not a sweep whose meaning is certain.
    """
    name = ast.unparse(call.func)
    if name in ("tag", "int", "float", "shuffle") and call.args and isinstance(call.args[-1], ast.Call):
        inner = _sweep(call.args[-1], text)
        if "values" in inner or name == "shuffle":
            return inner
        if name == "tag":
            is_log = any(ast.unparse(each) == "log" for each in call.args[:-1])
            return {**inner, "log": True} if is_log else inner
        number = int if name == "int" else float
        return {key: value if key == "log" else number(value) for key, value in inner.items()}
    if name == "choice":
        return {"values": [_value(argument, text) for argument in call.args]}
    given = {key: _value(node, text) for key, node in arguments_of(call, ("start", "stop", "step")).items()}
    low, high = given.get("start"), given.get("stop", given.get("end"))
    if name == "range" and high is None:
        low, high = 0, low
    bounds = {"min": low, "max": high, "step": given.get("step", 1)}
    if name not in ("interval", "range") or not all(type(each) in (int, float) for each in bounds.values()):
        raise ValueError(text)
    if name == "interval":
        del bounds["step"]
    if name == "interval" or float in map(type, bounds.values()):
        return {key: float(value) for key, value in bounds.items()}
    return bounds


def _value(node: ast.AST, text: str) -> Any:
    """A value in Hydra's grammar, where a string needs no quotes.

    Raises:
        ValueError: it is not certain.
    """
    own = ast.get_source_segment(text, node) or ""
    if own.lower() in _KEYWORDS:
        return _KEYWORDS[own.lower()]
    if isinstance(node, ast.Name | ast.BinOp | ast.Attribute):
        return own
    return ast.literal_eval(node)
