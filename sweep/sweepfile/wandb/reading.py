"""Translates a W&B sweep file, with W&B's semantics, to the data of our sweep file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sweep.caller import caller
from sweep.errors import suggestion
from sweep.sweepfile.command import NO_PROGRAM
from sweep.sweepfile.foreign_keys import foreign_key_hint
from sweep.sweepfile.model import SweepSpec
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.wandb.distributions import PARAMETER_KEYS, read_parameters
from sweep.sweepfile.wandb.metric import METRIC_KEYS, read_early_terminate, read_metric
from sweep.sweepfile.wandb.values import WandbFileError, join_names, plain
from sweep.sweepfile.yaml import Path

DISTINCTIVE_KEY = "method"
"""The key that only W&B's files have."""
_IGNORED = (
    "project",
    "entity",
    "controller",
    "job",
    "queue",
    "settings",
    "description",
    "display_name",
    "image_uri",
    "scheduler",
    "launch",
    "version",
    "apiVersion",
    "kind",
)
_TRANSLATED = ("method", "program", "command", "name", "metric", "parameters", "early_terminate", "run_cap")
_NOT_FOR_WANDB = ("sampler", "pruner", "metrics", "metrics_from", "arguments")
_OURS = tuple(key for key in SweepSpec.model_fields if key not in (*_TRANSLATED, *_NOT_FOR_WANDB))
"""Keys of our sweep file that a W&B file can use too."""
KEYS = (*_TRANSLATED, *_OURS, *_IGNORED)
_WANDB_PATHS: dict[Path, Path] = {
    ("sampler", "type"): ("method",),
    ("sampler",): ("method",),
    ("pruner",): ("early_terminate",),
    ("stop", "trials"): ("run_cap",),
    ("stop", "target"): ("metric", "target"),
}
"""Entries of our sweep file, and W&B's names for them."""
METHODS = {"grid": "grid", "random": "random", "bayes": "tpe"}


def name_in_file(path: Path) -> Path:
    """The path in a W&B file for an entry of our sweep file."""
    for ours, theirs in _WANDB_PATHS.items():
        if path[: len(ours)] == ours:
            return (*theirs, *path[len(ours) :])
    return path


def is_wandb_key(key: str) -> bool:
    """Whether an override changes an entry of the W&B file, rather than of its translation."""
    first, *below = key.split(".")
    if first == "metric":
        return key.rpartition(".")[2] in METRIC_KEYS
    if first == "parameters":
        return len(below) > 1 and below[-1] in PARAMETER_KEYS
    return first in ("method", "run_cap", "early_terminate", "program", "command")


def is_wandb(data: Any) -> bool:
    """Whether the data of a file describes a W&B sweep."""
    return isinstance(data, dict) and DISTINCTIVE_KEY in data


def translate(raw: Mapping[Any, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Translate the data of a W&B file.

    Returns:
        the data of our sweep file, and hints for the author of the file.

    Raises:
        WandbFileError: W&B would reject the file.
    """
    _check_keys(raw)
    notes: list[str] = []
    ignored = [key for key in raw if key in _IGNORED]
    if ignored:
        notes.append(f"{join_names(ignored)} of W&B: not used here, ignored")
    method = raw.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise WandbFileError(
            ("method",), f"{short_repr(method)} is not a method; {suggestion(method, METHODS)}"
        )
    if method == "bayes":
        notes.append("bayes: TPE chooses the configurations, where W&B uses a Gaussian process")
    data: dict[str, Any] = {"sampler": {"type": METHODS[method]}}
    data.update({key: raw[key] for key in _OURS if raw.get(key) is not None})
    if raw.get("name") is not None:
        data["name"] = _directory_name(str(raw["name"]))
    if "objective" not in data:
        data.update(_read_program(raw, notes))
    data["metric"], target = read_metric(raw.get("metric"), method, notes)
    stop = {"target": target, "trials": plain(raw.get("run_cap"))}
    if isinstance(data.get("stop", {}), dict):
        data["stop"] = {**data.get("stop", {}), **{k: v for k, v in stop.items() if v is not None}}
    if raw.get("early_terminate") is not None:
        data["pruner"] = read_early_terminate(raw["early_terminate"], "metric" in raw)
    parameters = raw.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise WandbFileError(
            ("parameters",), "is missing; write for example parameters: {lr: {min: 0.0, max: 0.1}}"
        )
    data["parameters"] = read_parameters(parameters, ("parameters",), method == "grid", notes)
    return data, tuple(dict.fromkeys(notes))


def _check_keys(raw: Mapping[Any, Any]) -> None:
    for key in raw:
        if key in ("sampler", "pruner"):
            instead = "method" if key == "sampler" else "early_terminate"
            raise WandbFileError(
                (key,), f"is not a key of W&B; write {instead}, or leave method out (`sweep convert` helps)"
            )
        if key not in KEYS:
            hint = foreign_key_hint("SweepSpec", key, raw) or suggestion(key, KEYS)
            raise WandbFileError((key,), f"unknown key; {hint}")


def _read_program(raw: Mapping[Any, Any], notes: list[str]) -> dict[str, Any]:
    entries: dict[str, Any] = {"arguments": "nested"}
    entries.update({key: raw[key] for key in ("program", "command") if raw.get(key) is not None})
    command = entries.get("command", ["${program}"])
    if "program" not in entries and isinstance(command, list) and "${program}" in map(str, command):
        entries["program"] = NO_PROGRAM
        notes.append(
            f"no program: to run it, add {caller().option('program', 'train.py')}, or "
            f"{caller().option('objective', 'train.py:train')}"
        )
    return entries


def _directory_name(text: str) -> str:
    """A valid directory name for a W&B sweep, whose name can be any text."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", text).strip("-.")[:100] or "sweep"
