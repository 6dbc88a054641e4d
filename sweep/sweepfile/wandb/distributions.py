"""Translates W&B's `parameters` and their distributions to equivalent parameters of our sweep file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sweep.errors import suggestion
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.wandb.values import WandbFileError, join_names, number, plain
from sweep.sweepfile.yaml import Path

_Translation = Callable[[Mapping[str, Any], Path], dict[str, Any]]


def _unchanged(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    return dict(values)


def _named(name: str) -> _Translation:
    return lambda values, path: {"distribution": name, **values}


def _floats(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    return {"min": float(values["min"]), "max": float(values["max"])}


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
    "categorical": (("values",), _unchanged),
    "categorical_w_probabilities": (("values", "probabilities"), _unchanged),
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
    "normal": (("mu", "sigma"), _named("normal")),
    "q_normal": (("mu", "sigma", "q"), _named("q_normal")),
    "log_normal": (("mu", "sigma"), _named("log_normal")),
    "q_log_normal": (("mu", "sigma", "q"), _named("q_log_normal")),
    "beta": (("a", "b"), _named("beta")),
    "q_beta": (("a", "b", "q"), _named("q_beta")),
}
"""The keys of each of W&B's distributions, and its translation."""
PARAMETER_KEYS = (
    "distribution",
    "parameters",
    *dict.fromkeys(key for keys, _ in _DISTRIBUTIONS.values() for key in keys),
)
_DEFAULTS = {"mu": 0, "sigma": 1, "q": 1}
_IN_GRID = ("constant", "categorical", "int_uniform", "q_uniform")
_OURS = ("when", "default")
"""Keys of our sweep file that a W&B file can use too."""


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
            raise WandbFileError(here, f"expected a mapping, got {short_repr(entry)}; write {{{hint}}}")
        translated[name] = _read_parameter(entry, here, for_grid, notes)
    return translated


def _read_parameter(entry: Mapping[Any, Any], path: Path, for_grid: bool, notes: list[str]) -> dict[str, Any]:
    for key in entry:
        if key not in (*PARAMETER_KEYS, *_OURS):
            raise WandbFileError((*path, key), f"unknown key; {suggestion(key, PARAMETER_KEYS)}")
    ours = {key: entry[key] for key in _OURS if key in entry}
    if "parameters" in entry:
        path, group = (*path, "parameters"), entry["parameters"]
        if not isinstance(group, dict) or not group:
            raise WandbFileError(path, f"expected parameters, got {short_repr(group)}")
        return {**ours, "parameters": read_parameters(group, path, for_grid, notes)}
    kind = _distribution_name(entry, path)
    keys, translate = _DISTRIBUTIONS[kind]
    name = ".".join(str(part) for part in path if part != "parameters")
    ignored = [key for key in entry if key not in (*keys, "distribution", *ours)]
    if ignored:
        notes.append(f"{name}: {kind} has no {join_names(ignored)}; ignored")
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
            raise WandbFileError((*path, key), f"is missing; {kind} takes {join_names(list(keys))}")
    # As exponents, bounds between 0 and 1 would make a range from about 1 to less than e.
    if kind in ("log_uniform", "inv_log_uniform", "q_log_uniform") and 0 <= values["min"] < values["max"] < 1:
        notes.append(
            f"{name}: the bounds of {kind} are exponents of e, and {values['min']:g} to {values['max']:g} "
            f"look like values; {kind}_values takes values"
        )
    return {**translate(values, path), **ours}


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
        if not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise WandbFileError(path, f"must sum to 1, got {sum(shares):g}")
    # Our own models check the type of all values that need no computation here.
    return plain(value) if key in ("value", "values", "probabilities") else number(value, path)
