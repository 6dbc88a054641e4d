"""What must not change in the life of a sweep: its trials could not be compared any more."""

from __future__ import annotations

import json
from typing import Any

from sweep.spec import SweepSpec

_IDENTITY = ("objective", "metric", "parameters", "repeats", "storage")


def changes(old: SweepSpec, new: SweepSpec) -> list[str]:
    """What makes `new` another sweep than `old`, a line for each key; nothing if it may go on."""
    before: dict[str, Any] = old.model_dump(mode="json")
    now: dict[str, Any] = new.model_dump(mode="json")
    found = [line for key in _IDENTITY for line in _differences(key, before[key], now[key])]
    if (old.sampler.type == "grid") != (new.sampler.type == "grid"):
        # A grid counts by trial numbers: every configuration once, none before it.
        found.append(f"sampler.type: {old.sampler.type} -> {new.sampler.type}")
    return found


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
