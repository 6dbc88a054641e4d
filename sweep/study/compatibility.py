"""Checks whether a sweep can be resumed with a changed sweep file: its trials must stay comparable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sweep.space.space import EXHAUSTIVE
from sweep.sweepfile import SweepSpec
from sweep.system.urls import hide_passwords

_FIXED_KEYS = (
    "objective",
    "program",
    "command",
    "arguments",
    "metrics",
    "metric",
    "parameters",
    "constraints",
    "repeats",
    "storage",
)


def incompatible_changes(old: SweepSpec, new: SweepSpec) -> list[str]:
    """The changes that prevent resuming `old` as `new`, one line per key; empty if it can be resumed."""
    before, now = _identity(old), _identity(new)
    lines = [line for key in _FIXED_KEYS for line in _differences(key, before[key], now[key])]
    types = old.sampler.type, new.sampler.type
    if types[0] != types[1] and any(kind in EXHAUSTIVE for kind in types):
        # A grid assigns configurations by trial numbers, from the first trial on.
        lines.append(f"sampler.type: {types[0]} -> {types[1]}")
    elif types[1] in EXHAUSTIVE and before["parameters"] == now["parameters"]:  # possibly in another order
        lines += _differences("parameters: their order", _order(before), _order(now))
    if types == ("brute_force", "brute_force"):  # the seed determines the order
        lines += _differences("sampler.seed", old.sampler.seed, new.sampler.seed)
    return lines


def _identity(spec: SweepSpec) -> dict[str, Any]:
    data: dict[str, Any] = spec.model_dump(mode="json")
    data["metric" if spec.metrics is not None else "metrics"] = None
    data["parameters"] = _without_defaults(data["parameters"])
    data["storage"] = spec.storage and hide_passwords(spec.storage)
    return data


def _order(identity: dict[str, Any]) -> str:
    """The names of all parameters in the order in which a grid varies them."""

    def names(parameters: Any) -> Iterator[str]:
        for name, parameter in parameters.items():
            yield name
            yield from names(parameter.get("parameters") or {})

    return ", ".join(names(identity["parameters"]))


def _without_defaults(parameters: Any) -> Any:
    """The entries of each parameter that are set, without defaults, which only suggest where to start."""
    entries = {}
    for name, parameter in parameters.items():
        entries[name] = {
            k: v for k, v in parameter.items() if k != "default" and (v is not None or k == "value")
        }
        if "parameters" in parameter:
            entries[name]["parameters"] = _without_defaults(parameter["parameters"])
    return entries


def _differences(key: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        return [
            line for name in names for line in _differences(f"{key}.{name}", old.get(name), new.get(name))
        ]
    if json.dumps(old) == json.dumps(new):  # not ==: true, 1 and 1.0 are different choices and ranges
        return []
    return [f"{key}: {_shown(old)} -> {_shown(new)}"]


def _shown(value: Any) -> str:
    return "(absent)" if value is None else str(value)
