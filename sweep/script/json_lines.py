"""Reads metrics from JSON lines in the output of a script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sweep.script.metric_sources import MetricRecord
from sweep.script.printed_number import read_number
from sweep.trial.scalars import STEPS

_STEP_NAMES = ("step", "_step")
_LONGEST_QUOTED = 80
_DECODER = json.JSONDecoder()
_LAUNCHER = re.compile(r"(?:\[\w*\d(?:,\d+)?\](?:<stdout>)?|\d+): ?(?={)")
"""What torchrun, srun and mpirun put before the lines of each process."""


def read_line(text: str) -> list[MetricRecord]:
    """The metrics of a line of output: a JSON object with at least one number in addition to its step.

    If several processes print at once, one line can contain several objects. The prefix of a launcher is
    left out.
    """
    text = _LAUNCHER.sub("", text, count=1) if _LAUNCHER.match(text) else text
    if not text.startswith("{") or not text.endswith("}"):
        return []
    objects = []
    try:
        while text:
            data, end = _DECODER.raw_decode(text)
            if not isinstance(data, dict):
                return []
            objects.append(data)
            text = text[end:].lstrip()
    except (ValueError, RecursionError):
        return []
    return [record for record in map(_record, objects) if record is not None]


def _record(data: dict[str, Any]) -> MetricRecord | None:
    step = None
    for name in _STEP_NAMES:
        raw = data.pop(name, None)
        number = read_number(raw) if isinstance(raw, str) else to_float(raw)  # f"{step:,}"
        if step is None and number is not None and 0 <= number < STEPS and number.is_integer():
            step = int(number)
    values = dict(numbers(data))
    return MetricRecord(step, values) if values else None


def explain_unread(text: str, is_stdout: bool = True) -> str | None:
    """Explain why a line that seems to contain a JSON object is not read; None for any other line."""
    found = read_line(text)
    begin = text.find('{"')
    if found and not is_stdout:
        problem = "was printed to stderr; only stdout is read"
    elif found:
        return None
    elif begin > 0 and read_line(text[begin:]):
        problem = "has text before the JSON object; print the object on a line of its own"
    elif not text.startswith("{"):
        return None
    else:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            problem = "is not JSON on one line; print(json.dumps(...)) writes it"
        else:
            problem = "has no metric that is a number"
    return f"{text if len(text) <= _LONGEST_QUOTED else text[:_LONGEST_QUOTED] + '...'} {problem}"


def numbers(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a JSON object. Those of nested objects have dotted names, as in `wandb.log`."""
    for name, value in data.items():
        dotted = prefix + replace_surrogates(name)
        if (number := to_float(value)) is not None:
            yield dotted, number
        elif isinstance(value, dict):
            yield from numbers(value, f"{dotted}.")


def replace_surrogates(name: str) -> str:
    """Replace lone surrogates, which JSON allows in a name, to make it valid Unicode."""
    return name.encode("utf-8", "replace").decode()


def to_float(value: Any) -> float | None:
    """A JSON number as a float; None if it is something else or too large."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    return None
