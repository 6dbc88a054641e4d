"""JSON lines: metrics in what a script prints."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from sweep.objective.wandb_offline import Record
from sweep.reporting import STEPS

_STEP_NAMES = ("step", "_step")


def read_line(text: str) -> Record | None:
    """The metrics of a line of output: a JSON object with at least one number, besides its step."""
    if not text.startswith("{") or not text.endswith("}"):
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    step = None
    for name in _STEP_NAMES:
        found = data.pop(name, None)
        if step is None and is_number(found) and 0 <= found < STEPS and found == int(found):
            step = int(found)
    values = {
        name.encode("utf-8", "replace").decode(): float(value)  # JSON can name half a letter
        for name, value in data.items()
        if is_number(value)
    }
    return Record(step, values) if values else None


def is_number(value: Any) -> bool:
    """Whether a value out of JSON is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    with suppress(OverflowError):
        float(value)
        return True
    return False
