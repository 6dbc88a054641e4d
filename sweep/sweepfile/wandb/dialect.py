"""W&B sweep files: read with W&B's own semantics, and said in our words.

What W&B means is read off its open-source client and sampler: the packages `wandb` and `sweeps`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import suggestion
from sweep.sweepfile.command import EXIT_STATUS, NO_PROGRAM
from sweep.sweepfile.foreign_keys import unknown
from sweep.sweepfile.types import show

Path = tuple[str | int, ...]

MARK = "method"
"""The key by which a W&B file is known: ours have none of that name."""
_MEANINGLESS = (
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
_OURS = (
    "objective",
    "cwd",
    "env",
    "constraints",
    "enqueue",
    "repeats",
    "resources",
    "max_parallel",
    "stop",
    "trial",
    "storage",
)
_TRANSLATED = ("method", "program", "command", "name", "metric", "parameters", "early_terminate", "run_cap")
KEYS = (*_TRANSLATED, *_OURS, *_MEANINGLESS)
_METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
_WORDS: dict[Path, Path] = {
    ("sampler", "type"): ("method",),
    ("sampler",): ("method",),
    ("pruner",): ("early_terminate",),
    ("stop", "trials"): ("run_cap",),
    ("stop", "target"): ("metric", "target"),
}
"""Ours for what W&B has other words for."""
METHODS = {"grid": "grid", "random": "random", "bayes": "tpe"}


class DialectError(ValueError):
    """A W&B file says something that W&B would refuse too.

    Args:
        path: the keys to the entry.
        message: what is wrong and what to write instead.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class Translation:
    """A W&B file in our words.

    Args:
        data: as a sweep file of ours would have it.
        notes: what its author may want to know.
    """

    data: dict[str, Any]
    notes: tuple[str, ...]


def name_in_file(path: Path) -> Path:
    """What W&B calls an entry of ours."""
    for ours, theirs in _WORDS.items():
        if path[: len(ours)] == ours:
            return (*theirs, *path[len(ours) :])
    return path


def is_change_in_its_words(key: str) -> bool:
    """Whether a change to an entry is one of what the file says, and not of what it comes to here."""
    parts = key.split(".")
    first, last = parts[0], parts[-1]
    return {
        "metric": last in _METRIC_KEYS,
        "parameters": len(parts) > 2 and last in _ALL_KEYS,
    }.get(first, first in ("method", "run_cap", "early_terminate", "program", "command"))


def is_wandb(data: Any) -> bool:
    """Whether a file's data is that of a W&B sweep."""
    return isinstance(data, dict) and MARK in data


def translate(raw: Mapping[Any, Any]) -> Translation:
    """Say in our words what a W&B file says.

    Raises:
        DialectError: it says something that W&B would refuse.
    """
    for key in raw:
        if key in ("sampler", "pruner"):
            instead = "method" if key == "sampler" else "early_terminate"
            raise DialectError(
                (key,), f"is not W&B's; write {instead}, or leave method out (`sweep convert` helps)"
            )
        if key not in KEYS:
            raise DialectError((key,), unknown("SweepSpec", key, raw, KEYS))
    notes: list[str] = []
    ignored = [key for key in raw if key in _MEANINGLESS]
    if ignored:
        notes.append(f"{_list(ignored)} of W&B: without meaning here, and left out")
    method = raw.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise DialectError(("method",), f"{show(method)} is no method; {suggestion(method, METHODS)}")
    if method == "bayes":
        notes.append("bayes: TPE chooses the configurations, where W&B has a Gaussian process")
    data: dict[str, Any] = {"sampler": {"type": METHODS[method]}}
    data.update({key: raw[key] for key in _OURS if raw.get(key) is not None})
    if raw.get("name") is not None:
        data["name"] = _directory_name(str(raw["name"]))
    if "objective" not in data:
        data["arguments"] = "nested"
        data.update({key: raw[key] for key in ("program", "command") if raw.get(key) is not None})
        command = data.get("command", ["${program}"])
        if "program" not in data and isinstance(command, list) and "${program}" in map(str, command):
            data["program"] = NO_PROGRAM
            notes.append(
                "no program: to run it, say --set program=train.py or --set objective=train.py:train"
            )
    stop = raw.get("stop") or {}
    if not isinstance(stop, dict):
        raise DialectError(("stop",), f"expected {{hours: 12}}, got {show(stop)}")
    stop = dict(stop)
    _metric(raw, method, data, stop, notes)
    if raw.get("run_cap") is not None:
        stop["trials"] = _whole_number(raw["run_cap"], ("run_cap",))
    if stop:
        data["stop"] = stop
    if raw.get("early_terminate") is not None:
        data["pruner"] = _early_terminate(raw["early_terminate"], "metric" in raw)
    parameters = raw.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise DialectError(
            ("parameters",), "is missing; write for example parameters: {lr: {min: 0.0, max: 0.1}}"
        )
    data["parameters"] = _level(parameters, ("parameters",), method == "grid", notes)
    return Translation(data, tuple(dict.fromkeys(notes)))


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _directory_name(text: str) -> str:
    """W&B's names are for people: here they name a directory."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", text).strip("-.")[:100] or "sweep"


def _metric(
    raw: Mapping[Any, Any], method: str, data: dict[str, Any], stop: dict[str, Any], notes: list[str]
) -> None:
    metric = raw.get("metric")
    if metric is None:
        if method == "bayes":
            raise DialectError(
                ("metric",), "is missing, and bayes needs it; write metric: {name: val_loss, goal: minimize}"
            )
        notes.append("no metric: what the script ends with counts, and 0 is complete")
        data["metric"] = {"name": EXIT_STATUS, "goal": "minimize"}
        return
    if not isinstance(metric, dict):
        raise DialectError(("metric",), f"expected {{name: val_loss, goal: minimize}}, got {show(metric)}")
    for key in metric:
        if key not in _METRIC_KEYS:
            raise DialectError(("metric", key), f"unknown key; {suggestion(key, _METRIC_KEYS)}")
    ignored = [f"metric.{key}" for key in metric if key.startswith("impute")]
    if ignored:
        notes.append(f"{_list(ignored)}: failed trials take no part in the search here")
    data["metric"] = {"goal": "minimize", **{k: v for k, v in metric.items() if k in ("name", "goal")}}
    if metric.get("target") is not None:
        stop["target"] = _number(metric["target"], ("metric", "target"))


def _early_terminate(raw: Any, has_metric: bool) -> dict[str, Any]:
    path: Path = ("early_terminate",)
    if not isinstance(raw, dict):
        raise DialectError(path, f"expected {{type: hyperband, min_iter: 3}}, got {show(raw)}")
    known = ("type", "min_iter", "max_iter", "s", "eta", "strict")
    for key in raw:
        if key not in known:
            raise DialectError((*path, key), f"unknown key; {suggestion(key, known)}")
    if raw.get("type") != "hyperband":
        raise DialectError((*path, "type"), f"{show(raw.get('type'))} is not known; write hyperband")
    if not has_metric:
        raise DialectError(path, "needs a metric; write metric: {name: val_loss, goal: minimize}")
    found: dict[str, Any] = {"type": "bands"}
    for key in ("max_iter", "s") if raw.get("max_iter") is not None else ("min_iter",):
        if raw.get(key) is None:
            needed = "min_iter, or max_iter and s" if key == "min_iter" else "s beside max_iter"
            raise DialectError(path, f"needs {needed}; write for example {key}: 3")
        found[key] = _whole_number(raw[key], (*path, key))
    if raw.get("eta") is not None:
        found["eta"] = _number(raw["eta"], (*path, "eta"))
    if raw.get("strict") is not None:
        found["strict"] = raw["strict"]
    return found


def _level(parameters: Mapping[Any, Any], path: Path, for_grid: bool, notes: list[str]) -> dict[str, Any]:
    """The parameters of one level, in the order of their names, which is W&B's own."""
    found = {}
    for name in sorted(parameters, key=str):
        here, entry = (*path, name), parameters[name]
        if not isinstance(name, str):
            raise DialectError(here, f"{show(name)} cannot name a parameter; put it in quotes")
        if not isinstance(entry, dict):
            hint = f"values: {show(entry)}" if isinstance(entry, list) else f"value: {show(entry)}"
            raise DialectError(here, f"expected a mapping, got {show(entry)}; write {{{hint}}}")
        found[name] = _parameter(entry, here, for_grid, notes)
    return found


_KEYS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "inv_log_uniform": ("min", "max"),
    "inv_log_uniform_values": ("min", "max"),
    "q_log_uniform": ("min", "max", "q"),
    "q_log_uniform_values": ("min", "max", "q"),
    "normal": ("mu", "sigma"),
    "q_normal": ("mu", "sigma", "q"),
    "log_normal": ("mu", "sigma"),
    "q_log_normal": ("mu", "sigma", "q"),
    "beta": ("a", "b"),
    "q_beta": ("a", "b", "q"),
}
"""W&B's distributions and the keys that each of them takes."""
_ALL_KEYS = ("distribution", "parameters", *dict.fromkeys(key for keys in _KEYS.values() for key in keys))
_WITH_DEFAULTS = {"mu": 0, "sigma": 1, "q": 1}
_GRID = ("constant", "categorical", "int_uniform", "q_uniform")


def _parameter(entry: Mapping[Any, Any], path: Path, for_grid: bool, notes: list[str]) -> dict[str, Any]:
    for key in entry:
        if key not in (*_ALL_KEYS, "when", "default"):
            raise DialectError((*path, key), f"unknown key; {suggestion(key, _ALL_KEYS)}")
    ours = {key: entry[key] for key in ("when", "default") if key in entry}
    if "parameters" in entry:
        if not isinstance(entry["parameters"], dict) or not entry["parameters"]:
            raise DialectError((*path, "parameters"), f"expected parameters, got {show(entry['parameters'])}")
        inner = _level(entry["parameters"], (*path, "parameters"), for_grid, notes)
        return {**ours, "parameters": inner}
    kind = _kind(entry, path)
    keys = _KEYS[kind]
    ignored = [key for key in entry if key not in (*keys, "distribution", *ours)]
    if ignored:
        name = ".".join(str(part) for part in path if part != "parameters")
        notes.append(f"{name}: {kind} has no {_list(ignored)}; ignored")
    if for_grid and kind not in _GRID:
        raise DialectError(
            path, f"W&B's grid takes values, value, int_uniform and q_uniform, no {kind}; write values: [...]"
        )
    given = {}
    for key in keys:
        if key in entry:
            given[key] = _read(entry[key], key, (*path, key))
        elif key in _WITH_DEFAULTS:
            given[key] = _WITH_DEFAULTS[key]
        else:
            raise DialectError((*path, key), f"is missing; {kind} takes {_list(list(keys))}")
    if "log_uniform" in kind and not kind.endswith("values") and _looks_like_values(given):
        name = ".".join(str(part) for part in path if part != "parameters")
        notes.append(
            f"{name}: the bounds of {kind} are exponents of e, and {given['min']:g} to {given['max']:g} look "
            f"like values; {kind}_values takes values"
        )
    return {**_SAID[kind](given, path), **ours}


def _kind(entry: Mapping[Any, Any], path: Path) -> str:
    if "distribution" in entry:
        kind = entry["distribution"]
        if not isinstance(kind, str) or kind not in _KEYS:
            raise DialectError(
                (*path, "distribution"), f"{show(kind)} is no distribution; {suggestion(kind, _KEYS)}"
            )
        return (
            "categorical_w_probabilities" if kind == "categorical" and "probabilities" in entry else str(kind)
        )
    if "values" in entry:
        return "categorical_w_probabilities" if "probabilities" in entry else "categorical"
    if "value" in entry:
        return "constant"
    if "min" in entry or "max" in entry:
        # As they are written: 0.0 to 1.0 is a range of floats.
        bounds = [entry[key] for key in ("min", "max") if key in entry]
        return "int_uniform" if all(isinstance(bound, int) for bound in bounds) else "uniform"
    raise DialectError(path, "says nothing of its values; give value, values, min and max, or a distribution")


def _read(value: Any, key: str, path: Path) -> Any:
    if key == "value":
        return _plain(value)
    if key == "values":
        if not isinstance(value, list) or not value:
            raise DialectError(path, f"expected a list such as [1, 2], got {show(value)}")
        return _plain(value)
    if key == "probabilities":
        if not isinstance(value, list):
            raise DialectError(path, f"expected a list such as [0.5, 0.5], got {show(value)}")
        shares = [_number(share, (*path, index)) for index, share in enumerate(value)]
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise DialectError(path, f"have to be 1 together, and are {sum(shares):g}")
        return shares
    return _number(value, path)


_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def _plain(value: Any) -> Any:
    """As W&B's service hands it out: exponents are numbers, whole floats whole numbers."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _number(value: Any, path: Path) -> int | float:
    plain = _plain(value)
    if isinstance(plain, bool) or not isinstance(plain, (int, float)) or not math.isfinite(plain):
        raise DialectError(path, f"expected a number, got {show(value)}")
    return plain


def _whole_number(value: Any, path: Path) -> int:
    number = _number(value, path)
    if not isinstance(number, int) or number < 1:
        raise DialectError(path, f"expected a whole number above 0, got {show(value)}")
    return number


def _looks_like_values(given: Mapping[str, Any]) -> bool:
    """Whether exponents would make a range from about 1: nobody searches 1.0001 to 1.1."""
    return bool(0 <= given["min"] < given["max"] < 1)


_Said = Callable[[Mapping[str, Any], Path], dict[str, Any]]


def _floats(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    return {"min": float(given["min"]), "max": float(given["max"])}


def _ints(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    for key in ("min", "max"):
        if not isinstance(given[key], int):
            raise DialectError((*path, key), f"int_uniform takes whole numbers, got {show(given[key])}")
    return {"min": given["min"], "max": given["max"]}


def _logs(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if given["min"] <= 0:
        raise DialectError(
            (*path, "min"), f"has to be above 0 here, got {given['min']}; use for example 1e-6"
        )
    return {**_floats(given, path), "log": True}


def _exponentials(sign: int) -> _Said:
    def said(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
        try:
            bounds = sorted(math.exp(sign * given[key]) for key in ("min", "max"))
        except OverflowError:
            bounds = [0.0, math.inf]
        if not 0 < bounds[0] <= bounds[1] < 1e150 or given["min"] > given["max"]:
            raise DialectError(
                (*path, "max"), "the bounds are exponents of e here; write smaller ones, min first"
            )
        return {"min": bounds[0], "max": bounds[1], "log": True}

    return said


def _named(kind: str) -> _Said:
    return lambda given, path: {"distribution": kind, **given}


def _q_log_uniform(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    bounds = _exponentials(1)(given, path)
    return {
        "distribution": "q_log_uniform_values",
        "min": bounds["min"],
        "max": bounds["max"],
        "q": given["q"],
    }


_SAID: dict[str, _Said] = {
    "constant": lambda given, path: {"value": given["value"]},
    "categorical": lambda given, path: {"values": given["values"]},
    "categorical_w_probabilities": lambda given, path: dict(given),
    "int_uniform": _ints,
    "uniform": _floats,
    "log_uniform_values": _logs,
    # 1/x is log-uniform between bounds if x is between theirs.
    "inv_log_uniform_values": _logs,
    "log_uniform": _exponentials(1),
    "inv_log_uniform": _exponentials(-1),
    "q_log_uniform": _q_log_uniform,
    **{
        kind: _named(kind)
        for kind in (
            "q_uniform",
            "q_log_uniform_values",
            "normal",
            "q_normal",
            "log_normal",
            "q_log_normal",
            "beta",
            "q_beta",
        )
    },
}
"""What each of them is in our words."""
