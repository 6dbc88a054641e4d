"""Checks whether a sweep can be resumed with a changed sweep file: its trials must stay comparable."""

from __future__ import annotations

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

_ABSENT = object()
"""In place of an entry that a sweep file does not have; null can be the value of a parameter."""


def incompatible_changes(old: SweepSpec, new: SweepSpec) -> list[str]:
    """The changes that prevent resuming `old` as `new`, one line per key; empty if it can be resumed."""
    before, now = _identity(old), _identity(new)
    lines = [line for key in _FIXED_KEYS for line in _differences(key, before[key], now[key])]
    if not lines:  # the study has the reports of one metric, without its name
        lines = _differences("pruner.metric", old.pruning_metric.name, new.pruning_metric.name)
        if _stores_results(old) != _stores_results(new):
            lines += _differences("pruner.type", old.pruner.type, new.pruner.type)
    types = old.sampler.type, new.sampler.type
    if types[0] != types[1] and any(kind in EXHAUSTIVE for kind in types):
        # A grid assigns configurations by trial numbers, from the first trial on.
        lines.append(f"sampler.type: {types[0]} -> {types[1]}")
    elif types[1] in EXHAUSTIVE and before["parameters"] == now["parameters"]:  # possibly in another order
        lines += _differences("parameters: their order", _order(before), _order(now))
    if types == ("brute_force", "brute_force"):  # the seed determines the order
        lines += _differences("sampler.seed", old.sampler.seed, new.sampler.seed)
    return lines


def _stores_results(spec: SweepSpec) -> bool:
    """Whether the study has the results of repeats in place of the reports of trials."""
    return spec.repeats is not None and spec.pruner.type == "wilcoxon"


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
        return [
            line
            for name in dict.fromkeys([*old, *new])
            for line in _differences(f"{key}.{name}", old.get(name, _ABSENT), new.get(name, _ABSENT))
        ]
    before, now = _shown(key, old), _shown(key, new)
    return [] if before == now else [f"{key}: {before} -> {now}"]


def _shown(key: str, value: Any) -> str:
    """A value for a message. It tells true, 1, 1.0 and '1' apart, which are different choices and ranges."""
    if key.startswith("parameters."):
        return "(absent)" if value is _ABSENT else repr(value)
    return "(absent)" if value is _ABSENT or value is None else str(value)
