"""Formats pydantic's validation errors for the user: file, line, key, what was expected, and a suggestion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from sweep.errors import SpecError, suggestion
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.yaml import Document, Path


def spec_error(
    error: ValidationError,
    document: Document,
    file: str,
    overrides: Mapping[Path, str],
    rename: Callable[[Path], Path] = lambda path: path,
) -> SpecError:
    """Create one error that has a line for each of pydantic's errors.

    Args:
        error: pydantic's errors.
        document: the data that was validated, with line numbers.
        file: the name of the file, for the messages.
        overrides: the entries that were set on the command line, and the option that set each.
        rename: maps the path of an entry to its path in the file, which differs if the file is W&B's.
    """
    lines = []
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and details["input"]:
            continue  # pydantic does not count invalid items, which have their own errors
        path = _path(details, document.data)
        written = rename(path)
        place = place_of(written, document, file, overrides)
        key = ".".join(str(part) for part in written)
        lines.append(": ".join(filter(None, [place, key, _describe(path, details)])))
    return SpecError("\n".join(dict.fromkeys(lines)))


def _path(details: Mapping[str, Any], data: Any) -> Path:
    """The path to the invalid entry, without the tags of union members that pydantic adds."""
    path: list[int | str] = []
    for part in details["loc"]:
        entries = data if isinstance(data, dict) else dict(enumerate(data)) if isinstance(data, list) else {}
        if part in entries:
            data = entries[part]
            path.append(part)
    key = details.get("ctx", {}).get("key")
    if details["type"] == "missing" and key is None:
        key = details["loc"][-1]
    if key is None:
        return tuple(path)
    return (*path, *key) if isinstance(key, (tuple, list)) else (*path, key)


def place_of(path: Path, document: Document, file: str, overrides: Mapping[Path, str]) -> str:
    """The place of an entry: file and line, or the option that set it."""
    for end in range(len(path), 0, -1):
        if path[:end] in overrides:
            return overrides[path[:end]]
    if path not in document.lines:
        for set_by_option, option in overrides.items():
            if set_by_option[: len(path)] == path:
                return option
    line = document.line(path)
    return f"{file}:{line}" if line is not None else file


_MESSAGES = {
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "union_tag_not_found"),
        "expected a mapping such as {{key: value}}",
    ),
    **dict.fromkeys(("list_type", "tuple_type"), "expected a list such as [1, 2]"),
    "too_short": "is empty; give at least one",
    "string_too_short": "is empty; write a string",
    "string_type": "expected a string",
    "bool_type": "expected true or false",
    "greater_than": "must be greater than {gt:.16g}",
    "greater_than_equal": "must be at least {ge:.16g}",
    "less_than": "must be less than {lt:.16g}",
    "less_than_equal": "must be at most {le:.16g}",
}
"""The beginning of the message for a type of pydantic's errors."""


def _describe(path: Path, details: Mapping[str, Any]) -> str:
    message, context = str(details["msg"]), details.get("ctx", {})
    match details["type"]:
        case "invalid":
            return message
        case "value_error":
            return str(context["error"])
        case "missing":
            return "is missing" + _EXAMPLES.get(path, "")
        case "literal_error":
            choices = re.findall(r"'(.*?)'", context["expected"])
            return f"{short_repr(details['input'])} is not valid; {suggestion(details['input'], choices)}"
    template = _MESSAGES.get(details["type"])
    text = template.format(**context) if template else f"{message[0].lower()}{message[1:]}"
    if path in _FORMS:
        text = text.replace("{key: value}", _FORMS[path]).replace("[1, 2]", _FORMS[path])
    return text if text.startswith("is empty") else f"{text}, got {short_repr(details['input'])}"


_FORMS: dict[Path, str] = {
    ("constraints",): '["batch_size <= 64"]',
    ("env",): "{DATA: /data}",
    ("metric",): "{name: loss, goal: minimize}",
    ("metrics",): "[{name: loss, goal: minimize}, {name: size, goal: minimize}]",
    ("metrics_from",): r"{regex: 'loss=(?P<loss>\S+)'}",
    ("parameters",): "{lr: {min: 1e-4, max: 1e-1}}",
    ("repeats",): "{seeds: 3}",
    ("resources",): "{cpu: 2, gpu: 1}",
    ("stop",): "{trials: 20}",
    ("trial",): "{timeout: 30m, retries: 2}",
}
"""What to write for entries of which another kind of value was given."""

_EXAMPLES: dict[Path, str] = {
    ("pruner", "percentile"): "; write for example pruner: {type: percentile, percentile: 75}",
    ("metric",): "; write for example metric: {name: val/loss, goal: minimize}",
    ("metric", "name"): "; the name under which trials report it, for example val/loss",
    ("metric", "goal"): "; write maximize or minimize",
    ("repeats", "seeds"): "; write for example repeats: {seeds: 3}, or repeats: {seeds: [0, 1, 2]}",
    ("parameters",): "; write for example parameters: {lr: {min: 1e-4, max: 1e-1, log: true}}",
}
