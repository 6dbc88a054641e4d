"""Translates a W&B sweep file, with W&B's semantics, to the data of our sweep file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sweep.caller import caller
from sweep.errors import nearest, suggestion
from sweep.sweepfile.command import NO_PROGRAM
from sweep.sweepfile.misplaced import misplaced_key
from sweep.sweepfile.model import SweepSpec
from sweep.sweepfile.types import as_directory_name, short_repr
from sweep.sweepfile.wandb.command import command_notes
from sweep.sweepfile.wandb.distributions import PARAMETER_KEYS, has_parameter_keys, read_parameters
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
"""W&B's other keys."""
_TRANSLATED = ("method", "program", "command", "name", "metric", "parameters", "early_terminate", "run_cap")
_NOT_FOR_WANDB = ("sampler", "pruner", "metrics", "metrics_from", "arguments")
_OURS = tuple(key for key in SweepSpec.model_fields if key not in (*_TRANSLATED, *_NOT_FOR_WANDB))
"""Keys of our sweep file that a W&B file can use too."""
_WITH_NUMBERS = ("enqueue", "repeats", "resources", "max_parallel", "stop", "trial")
"""Those of them that contain numbers. The others contain text, also where it looks like a number."""
_WANDB_PATHS: dict[Path, Path] = {
    ("sampler", "type"): ("method",),
    ("sampler",): ("method",),
    ("pruner",): ("early_terminate",),
    ("stop", "trials"): ("run_cap",),
    ("stop", "target"): ("metric", "target"),
}
"""Entries of our sweep file, and W&B's names for them."""
METHODS = {"grid": "grid", "random": "random", "bayes": "tpe"}


def name_in_file(path: Path, lines: Collection[Path], options: Collection[Path]) -> Path:
    """The path in a W&B file for an entry of our sweep file.

    Args:
        path: the entry.
        lines: the entries of the file.
        options: the entries that were set by options, under our names or W&B's.
    """
    if any(path[:end] in options for end in range(1, len(path) + 1)):
        return path
    for ours, theirs in _WANDB_PATHS.items():
        # The file can also have its own `stop`.
        if path[: len(ours)] == ours and any(entry[: len(theirs)] == theirs for entry in (*lines, *options)):
            return (*theirs, *path[len(ours) :])
    return path


def is_wandb_key(key: str, value: Any) -> bool:
    """Whether an override changes an entry of the W&B file, rather than of its translation.

    Args:
        key: the dotted key.
        value: the value. An entry that is set as a whole can have the keys of either file.
    """
    first, *below = key.split(".")
    if first == "metric":
        is_whole = not below and isinstance(value, Mapping) and {*value} <= {*METRIC_KEYS}
        return is_whole or key.rpartition(".")[2] in METRIC_KEYS
    if first == "parameters":
        is_parameter = len(below) > 2 and below[-2] == "parameters"  # of a group, and named as a key: q
        is_part = len(below) > 1 and below[-1] in PARAMETER_KEYS and not is_parameter
        return is_part or has_parameter_keys(value if below else {"parameters": value})
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
    notes = _key_notes(raw)
    method = raw.get("method")
    if not isinstance(method, str) or method not in METHODS:
        hint = suggestion(method, METHODS)
        if method == "custom":
            hint = f"W&B's schedulers are not supported; {hint}"
        raise WandbFileError(("method",), f"{short_repr(method)} is not a method; {hint}")
    if method == "bayes":
        notes.append("bayes: TPE chooses the configurations, where W&B uses a Gaussian process")
    data: dict[str, Any] = {"sampler": {"type": METHODS[method]}}
    data.update({key: _read_own(key, raw[key]) for key in _OURS if raw.get(key) is not None})
    if raw.get("name") is not None:
        data["name"] = as_directory_name(str(raw["name"]))
    if "objective" not in data:
        data.update(_read_program(raw, notes))
    data["metric"], target = read_metric(raw.get("metric"), method, notes)
    stop = {"target": target, "trials": plain(raw.get("run_cap"))}
    if isinstance(data.get("stop", {}), dict):
        data["stop"] = {**data.get("stop", {}), **{k: v for k, v in stop.items() if v is not None}}
    if raw.get("early_terminate") is not None:
        data["pruner"] = read_early_terminate(raw["early_terminate"], raw.get("metric"), notes)
    parameters = _find_parameters(raw)
    data["parameters"] = read_parameters(parameters, ("parameters",), method == "grid", notes)
    return data, tuple(dict.fromkeys(notes))


def _read_own(key: str, value: Any) -> Any:
    """The value of a key of our own, in which numbers are read as everywhere in a W&B file."""
    if key == "resources" and isinstance(value, dict):
        return {name: item if name == "labels" else plain(item) for name, item in value.items()}
    return plain(value) if key in _WITH_NUMBERS else value


def _key_notes(raw: Mapping[Any, Any]) -> list[str]:
    """Notes about the keys that are ignored: W&B accepts any key.

    Raises:
        WandbFileError: a key of our own format would be ignored.
    """
    ignored = [key for key in raw if key in _IGNORED]
    unknown = []
    notes = []
    for key in raw:
        if key in _NOT_FOR_WANDB:
            instead = {"sampler": "write method, or ", "pruner": "write early_terminate, or "}.get(key, "")
            raise WandbFileError(
                (key,), f"is not a key of W&B; {instead}leave method out (`sweep convert` helps)"
            )
        if key in (*_TRANSLATED, *_OURS, *_IGNORED):
            continue
        near = nearest(key, _TRANSLATED)
        if near is None or near in raw:
            unknown.append(str(key))
        else:
            notes.append(f"{key}: unknown to W&B, ignored; did you mean {near!r}?")
    if unknown:
        notes.insert(0, f"{join_names(unknown)}: unknown to W&B, ignored")
    if ignored:
        notes.insert(0, f"{join_names(ignored)} of W&B: not used here, ignored")
    return notes


def _find_parameters(raw: Mapping[Any, Any]) -> Mapping[Any, Any]:
    parameters = raw.get("parameters")
    if isinstance(parameters, dict) and parameters:
        return parameters
    if parameters is None:
        if misplaced := misplaced_key(raw, "parameters"):
            raise WandbFileError(*misplaced)
        near = nearest("parameters", [key for key in raw if isinstance(key, str) and key not in _TRANSLATED])
        if near is not None:
            raise WandbFileError((near,), "unknown key; did you mean 'parameters'?")
    problem = "is missing" if parameters is None else f"expected a mapping, got {short_repr(parameters)}"
    raise WandbFileError(
        ("parameters",), f"{problem}; write for example parameters: {{lr: {{min: 0.0, max: 0.1}}}}"
    )


def _read_program(raw: Mapping[Any, Any], notes: list[str]) -> dict[str, Any]:
    entries: dict[str, Any] = {"arguments": "nested"}
    if raw.get("program") is not None:
        entries["program"] = raw["program"]
    command = raw.get("command")
    if isinstance(command, list):
        command = [str(item) for item in command]  # as W&B passes true, null and numbers
        notes += command_notes(command)
    if command not in (None, []):  # W&B runs its default command for an empty one
        entries["command"] = command
    command = entries.get("command", ["${program}"])
    if "program" not in entries and isinstance(command, list) and "${program}" in command:
        entries["program"] = NO_PROGRAM
        notes.append(
            f"no program: to run it, add {caller().entry('program', 'train.py')}, or "
            f"{caller().entry('objective', 'train.py:train')}"
        )
    return entries
