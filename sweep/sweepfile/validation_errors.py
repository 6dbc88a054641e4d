"""From a failed validation to lines a person can act on: file, line, key, what was expected, what is near."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from sweep.errors import SpecError
from sweep.sweepfile.types import show
from sweep.sweepfile.yaml import Document, Path


def spec_error(
    error: ValidationError,
    document: Document,
    file: str,
    overrides: Mapping[Path, str],
    rename: Callable[[Path], Path] = lambda path: path,
) -> SpecError:
    """Translate pydantic's findings.

    Args:
        error: what pydantic found.
        document: the data that was validated, with line numbers.
        file: the name of the file for the messages.
        overrides: which entries came from the command line, and from which option.
        rename: what an entry is called in the file, if that has other words.
    """
    lines = []
    for details in error.errors(include_url=False):
        path = _path(details, document.data)
        written = rename(path)
        where = place(written, document, file, overrides)
        key = ".".join(str(part) for part in written)
        lines.append(": ".join(filter(None, [where, key, _describe(path, details)])))
    return SpecError("\n".join(dict.fromkeys(lines)))


def _path(details: Mapping[str, Any], data: Any) -> Path:
    """The keys to the entry that a finding is about, without the names of union members between them."""
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


def place(path: Path, document: Document, file: str, overrides: Mapping[Path, str]) -> str:
    """Where an entry comes from: file and line, or the option that set it."""
    for end in range(len(path), 0, -1):
        if path[:end] in overrides:
            return overrides[path[:end]]
    if path not in document.lines:
        for set_by_option, option in overrides.items():
            if set_by_option[: len(path)] == path:
                return option
    line = document.line(path)
    return f"{file}:{line}" if line is not None else file


def _describe(path: Path, details: Mapping[str, Any]) -> str:
    match details["type"]:
        case "mistake":
            return str(details["msg"])
        case "missing":
            return "is missing" + _EXAMPLES.get(path, "")
        case "model_type" | "model_attributes_type" | "dict_type" | "union_tag_not_found":
            return f"expected a mapping such as {{key: value}}, got {show(details['input'])}"
        case "list_type" | "tuple_type":
            return f"expected a list such as [1, 2], got {show(details['input'])}"
        case _:
            message = str(details["msg"])
            return f"{message[0].lower()}{message[1:]}, got {show(details['input'])}"


_EXAMPLES: dict[Path, str] = {
    ("metric",): "; write for example metric: {name: val/loss, goal: minimize}",
    ("metric", "name"): "; the name under which trials report it, for example val/loss",
    ("metric", "goal"): "; write maximize or minimize",
    ("repeats", "seeds"): "; write for example repeats: {seeds: 3}, or repeats: {seeds: [0, 1, 2]}",
    ("parameters",): "; write for example parameters: {lr: {min: 1e-4, max: 1e-1, log: true}}",
}
