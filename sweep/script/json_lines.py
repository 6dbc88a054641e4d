"""JSON lines: metrics in what a script prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sweep.script.wandb_offline import Record
from sweep.trial.scalars import STEPS

_STEP_NAMES = ("step", "_step")
_LONGEST_QUOTED = 80
_DECODER = json.JSONDecoder()


def read_line(text: str) -> list[Record]:
    """The metrics of a line of output: a JSON object with at least one number, besides its step.

    Of several processes that print at once the objects of two may stand in one line.
    """
    if not text.startswith("{") or not text.endswith("}"):
        return []
    found = []
    try:
        while text:
            data, end = _DECODER.raw_decode(text)
            if not isinstance(data, dict):
                return []
            found.append(data)
            text = text[end:].lstrip()
    except (ValueError, RecursionError):
        return []
    return [record for record in map(_record, found) if record is not None]


def _record(data: dict[str, Any]) -> Record | None:
    step = None
    for name in _STEP_NAMES:
        found = data.pop(name, None)
        if step is None and _is_number(found) and 0 <= found < STEPS and found == int(found):
            step = int(found)
    values = dict(numbers(data))
    return Record(step, values) if values else None


def why_unread(text: str) -> str | None:
    """What is wrong with a line that looks as if it were for `read_line`, in words for people."""
    if not text.startswith("{") or read_line(text):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        fault = "is not JSON in one line, which json.dumps would write"
    else:
        fault = "has no metric that is a number"
    return f"{text if len(text) <= _LONGEST_QUOTED else text[:_LONGEST_QUOTED] + '...'} {fault}"


def numbers(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a mapping out of JSON. Those of mappings in it have dotted names, as for `wandb.log`."""
    for name, value in data.items():
        dotted = prefix + name.encode("utf-8", "replace").decode()  # JSON can name half a letter
        if _is_number(value):
            yield dotted, float(value)
        elif isinstance(value, dict):
            yield from numbers(value, f"{dotted}.")


def _is_number(value: Any) -> bool:
    """Whether a value out of JSON is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    with suppress(OverflowError):
        float(value)
        return True
    return False
