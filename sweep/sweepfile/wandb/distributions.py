"""Translates W&B's `parameters` and their distributions to equivalent parameters of our sweep file."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sweep.errors import suggestion
from sweep.sweepfile.misplaced import CHECK_INDENTATION
from sweep.sweepfile.parameters import LEAST_Q
from sweep.sweepfile.types import is_valid_scalar, short_repr
from sweep.sweepfile.wandb.values import WandbFileError, join_names, number, plain
from sweep.sweepfile.yaml import Path

_Translation = Callable[[Mapping[str, Any], Path], dict[str, Any]]


def _unchanged(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    return dict(values)


def _named(name: str) -> _Translation:
    return lambda values, path: {"distribution": name, **values}


def _identity(value: Any) -> str:
    """Equal for equal values, where true is not 1."""
    return json.dumps(value, sort_keys=True, default=str)


def _choice(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A choice in which each value is unique and possible: equal values have their common share."""
    items, shares = values["values"], values.get("probabilities")
    for key, value in values.items():
        if not isinstance(value, list) or not value:
            raise WandbFileError((*path, key), f"expected a list such as [1, 2], got {short_repr(value)}")
    if shares is not None and len(shares) != len(items):
        raise WandbFileError(
            (*path, "probabilities"),
            f"has {len(shares)} numbers for {len(items)} values; give one for each",
        )
    weights: dict[str, int | float] = {}
    unique: dict[str, Any] = {}
    for item, share in zip(items, [1] * len(items) if shares is None else shares, strict=True):
        key = _identity(item)
        unique.setdefault(key, item)
        weights[key] = weights.get(key, 0) + share
    possible = [key for key in unique if weights[key] != 0]
    choice: dict[str, Any] = {"values": [unique[key] for key in possible]}
    if shares is not None or len(unique) < len(items):
        choice["probabilities"] = [weights[key] for key in possible]
    return choice


def _floats(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    return {"min": float(values["min"]), "max": float(values["max"])}


def _normal(name: str, constant: Callable[[float], float] = float) -> _Translation:
    """The translation of a normal distribution. Without a spread it has one value, computed by `constant`."""

    def translate(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
        if values["sigma"] != 0:
            return {"distribution": name, **values}
        try:
            value = constant(values["mu"])
        except OverflowError:
            value = math.inf
        if not is_valid_scalar(value):
            raise WandbFileError((*path, "mu"), "is the mean of the logarithm; write a smaller one")
        if "q" not in values:
            return {"value": plain(value)}
        if values["q"] < LEAST_Q:
            raise WandbFileError((*path, "q"), f"must be at least {LEAST_Q}, got {values['q']}; write 1")
        return {"value": plain(round(value / values["q"]) * values["q"])}

    return translate


def _integers(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    for key in ("min", "max"):
        if not isinstance(values[key], int):
            raise WandbFileError(
                (*path, key), f"int_uniform takes whole numbers, got {short_repr(values[key])}"
            )
    return dict(values)


def _log_uniform(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if values["min"] <= 0:
        raise WandbFileError((*path, "min"), f"must be above 0, got {values['min']}; use for example 1e-6")
    return {**_floats(values, path), "log": True}


def _of_exponents(sign: int) -> _Translation:
    """The translation of a distribution whose bounds are exponents of e; `sign` is -1 for the inverse."""

    def translate(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
        try:
            bounds = sorted(math.exp(sign * values[key]) for key in ("min", "max"))
        except OverflowError:
            bounds = [0.0, math.inf]
        if not 0 < bounds[0] <= bounds[1] < 1e150 or values["min"] > values["max"]:
            raise WandbFileError(
                (*path, "max"), "the bounds are exponents of e here; write smaller ones, min first"
            )
        return {"min": bounds[0], "max": bounds[1], "log": True}

    return translate


def _q_log_uniform(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    bounds = _of_exponents(1)(values, path)
    return {
        "distribution": "q_log_uniform_values",
        "min": bounds["min"],
        "max": bounds["max"],
        "q": values["q"],
    }


_DISTRIBUTIONS: dict[str, tuple[tuple[str, ...], _Translation]] = {
    "constant": (("value",), _unchanged),
    "categorical": (("values",), _choice),
    "categorical_w_probabilities": (("values", "probabilities"), _choice),
    "int_uniform": (("min", "max"), _integers),
    "uniform": (("min", "max"), _floats),
    "q_uniform": (("min", "max", "q"), _named("q_uniform")),
    "log_uniform": (("min", "max"), _of_exponents(1)),
    "log_uniform_values": (("min", "max"), _log_uniform),
    "inv_log_uniform": (("min", "max"), _of_exponents(-1)),
    # 1/x is log-uniform between two bounds if x is log-uniform between the inverse bounds.
    "inv_log_uniform_values": (("min", "max"), _log_uniform),
    "q_log_uniform": (("min", "max", "q"), _q_log_uniform),
    "q_log_uniform_values": (("min", "max", "q"), _named("q_log_uniform_values")),
    "normal": (("mu", "sigma"), _normal("normal")),
    "q_normal": (("mu", "sigma", "q"), _normal("q_normal")),
    "log_normal": (("mu", "sigma"), _normal("log_normal", math.exp)),
    "q_log_normal": (("mu", "sigma", "q"), _normal("q_log_normal", math.exp)),
    "beta": (("a", "b"), _named("beta")),
    "q_beta": (("a", "b", "q"), _named("q_beta")),
}
"""The keys of each of W&B's distributions, and its translation."""
PARAMETER_KEYS = (
    "distribution",
    "parameters",
    *dict.fromkeys(key for keys, _ in _DISTRIBUTIONS.values() for key in keys),
)
_DEFAULTS = {"mu": 0, "sigma": 1, "q": 1, "a": 1, "b": 1}
_IN_GRID = ("constant", "categorical", "int_uniform", "q_uniform")
_NAME_IN_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OURS = ("when", "default")
"""Keys of our sweep file that a W&B file can use too."""


def has_parameter_keys(entry: Any) -> bool:
    """Whether an entry for a parameter or a group has the keys of W&B's files only."""
    if not isinstance(entry, Mapping) or not {*entry} <= {*PARAMETER_KEYS, *_OURS}:
        return False
    members = entry.get("parameters", {})
    return isinstance(members, Mapping) and all(map(has_parameter_keys, members.values()))


def read_parameters(
    parameters: Mapping[Any, Any], path: Path, for_grid: bool, notes: list[str]
) -> dict[str, Any]:
    """Translate the parameters of a W&B file or of a group, in W&B's order, which is alphabetical.

    Args:
        parameters: W&B's `parameters`.
        path: the path to these parameters.
        for_grid: whether the method is `grid`.
        notes: receives hints for the author of the file.

    Raises:
        WandbFileError: W&B would reject a parameter.
    """
    translated = {}
    for name in sorted(parameters, key=str):
        here, entry = (*path, name), parameters[name]
        if not isinstance(name, str):
            raise WandbFileError(here, f"{short_repr(name)} cannot name a parameter; put it in quotes")
        if not isinstance(entry, dict):
            hint = f"{'values' if isinstance(entry, list) else 'value'}: {short_repr(entry)}"
            raise WandbFileError(
                here, f"expected a mapping, got {short_repr(entry)}; write {{{hint}}}{_hint(here)}"
            )
        if len(path) > 1 and not _NAME_IN_GROUP.fullmatch(name):
            notes.append(f"{'.'.join(map(str, here[1::2]))}: W&B rejects a group with such a name")
        translated[name] = _read_parameter(entry, here, for_grid, notes)
    return translated


def _read_parameter(entry: Mapping[Any, Any], path: Path, for_grid: bool, notes: list[str]) -> dict[str, Any]:
    for key in entry:
        if key not in (*PARAMETER_KEYS, *_OURS):
            raise WandbFileError((*path, key), f"unknown key; {suggestion(key, PARAMETER_KEYS)}{_hint(path)}")
    name = ".".join(str(part) for part in path[1::2])
    ours = {key: plain(entry[key]) for key in _OURS if key in entry}
    if "parameters" in entry:
        _note_ignored(entry, ("parameters", *ours), name, "a group", notes)
        path, group = (*path, "parameters"), entry["parameters"]
        if not isinstance(group, dict) or not group:
            raise WandbFileError(path, f"expected parameters, got {short_repr(group)}")
        return {**ours, "parameters": read_parameters(group, path, for_grid, notes)}
    kind = _distribution_name(entry, path)
    keys, translate = _DISTRIBUTIONS[kind]
    _note_ignored(entry, (*keys, "distribution", *ours), name, kind, notes)
    if for_grid and kind not in _IN_GRID:
        raise WandbFileError(
            path,
            f"W&B's grid takes values, value, int_uniform and q_uniform, not {kind}; write values: [...]",
        )
    values = {}
    for key in keys:
        if key in entry:
            values[key] = _read_value(entry[key], key, (*path, key))
        elif key in _DEFAULTS:
            values[key] = _DEFAULTS[key]
        else:
            raise WandbFileError(
                (*path, key), f"is missing; {kind} takes {join_names(list(keys))}{_hint(path)}"
            )
    translated = translate(values, path)
    notes += [f"{name}: {note}" for note in _notes(kind, entry, values, translated, for_grid)]
    if for_grid:
        translated.pop("probabilities", None)
    return {**translated, **ours}


def _note_ignored(
    entry: Mapping[Any, Any], used: Iterable[str], name: str, kind: str, notes: list[str]
) -> None:
    ignored = [key for key in entry if key not in used]
    if ignored:
        notes.append(f"{name}: {kind} has no {join_names(ignored)}; ignored here, but W&B rejects it")


def _hint(path: Path) -> str:
    """The end of an error about a parameter that has the name of a key of the file's top level."""
    if path[1:] in [
        (key,) for key in ("method", "metric", "early_terminate", "command", "program", "run_cap")
    ]:
        return (
            f"; if {path[1]} is not a parameter, it belongs to the top level of the file: {CHECK_INDENTATION}"
        )
    return ""


def _notes(
    kind: str,
    entry: Mapping[Any, Any],
    values: Mapping[str, Any],
    translated: Mapping[str, Any],
    for_grid: bool,
) -> Iterator[str]:
    """Notes about probable mistakes, and about what W&B does differently."""
    bounds = [values[key] for key in ("min", "max") if key in values]
    # As exponents, bounds between 0 and 1 would make a range from about 1 to less than e.
    if kind in ("log_uniform", "inv_log_uniform", "q_log_uniform") and 0 <= bounds[0] < bounds[1] < 1:
        yield (
            f"the bounds of {kind} are exponents of e, and {bounds[0]:g} to {bounds[1]:g} look like values; "
            f"{kind}_values takes values"
        )
    if bounds and bounds[0] == bounds[1]:
        yield "min and max are equal, which W&B rejects; value: is a constant"
    if kind == "int_uniform" and any(isinstance(entry[key], float) for key in ("min", "max")):
        yield "W&B rejects bounds of int_uniform with a decimal point, also whole ones"
    types = {isinstance(entry.get(key), int) for key in ("min", "max")}
    if kind == "uniform" and "distribution" not in entry and len(types) == 2:
        yield (
            f"one of the bounds {bounds[0]:g} and {bounds[1]:g} is a whole number; read as floats (uniform), "
            "which not every version of W&B accepts; write distribution: uniform, or two whole numbers"
        )
    if kind == "categorical_w_probabilities" and entry.get("distribution") == "categorical":
        yield "categorical has no probabilities in W&B, which rejects it; write categorical_w_probabilities"
    if values.get("sigma") == 0:
        yield f"sigma is 0, so it is always {translated['value']}; W&B's sampler returns nan"
    if "values" in translated:
        yield from _choice_notes(values, translated["values"], for_grid)


def _choice_notes(values: Mapping[str, Any], possible: list[Any], for_grid: bool) -> Iterator[str]:
    given = values["values"]
    kept = set(map(_identity, possible))
    counts = Counter(map(_identity, given))
    repeated = [value for value in possible if counts[_identity(value)] > 1]
    if repeated:
        effect = "tried once" if for_grid else "chosen more often"
        yield f"{_listed(repeated)} in values is given more than once, and so {effect}"
    if never := list({key: value for value in given if (key := _identity(value)) not in kept}.values()):
        yield f"{_listed(never)} in values has the probability 0, and is never chosen"


def _listed(values: list[Any]) -> str:
    return join_names(list(map(short_repr, values)))


def _distribution_name(entry: Mapping[Any, Any], path: Path) -> str:
    categorical = "categorical_w_probabilities" if "probabilities" in entry else "categorical"
    if "distribution" in entry:
        kind = entry["distribution"]
        if not isinstance(kind, str) or kind not in _DISTRIBUTIONS:
            raise WandbFileError(
                (*path, "distribution"),
                f"{short_repr(kind)} is not a distribution; {suggestion(kind, _DISTRIBUTIONS)}",
            )
        return categorical if kind == "categorical" else kind
    if "values" in entry:
        return categorical
    if "value" in entry:
        return "constant"
    if "min" in entry or "max" in entry:
        # The types as written decide: 0.0 to 1.0 is a range of floats.
        bounds = [entry[key] for key in ("min", "max") if key in entry]
        return "int_uniform" if all(isinstance(bound, int) for bound in bounds) else "uniform"
    raise WandbFileError(path, "has no values; give value, values, min and max, or a distribution")


def _read_value(value: Any, key: str, path: Path) -> Any:
    if key == "probabilities" and isinstance(value, list):
        shares = [number(share, (*path, index)) for index, share in enumerate(value)]
        if any(share < 0 for share in shares):
            raise WandbFileError(path, f"must be at least 0, got {min(shares):g}")
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise WandbFileError(path, f"must sum to 1, got {sum(shares):g}")
    # Our own models check the type of all values that need no computation here.
    return plain(value) if key in ("value", "values", "probabilities") else number(value, path)
