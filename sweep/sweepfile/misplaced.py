"""Finds a sweep, or a key of one, that is in the wrong place of a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sweep.sweepfile.yaml import Path

_KEYS = ("method", "parameters", "metric", "program", "command", "objective", "early_terminate")
"""Keys of a sweep, ours or W&B's."""
_DEPTH = 4


def nested_sweep(data: Any) -> tuple[Path, str] | None:
    """A sweep that is below another key, as in `config: {method: ..., parameters: ...}`.

    Returns:
        the path of the mapping that has the keys of a sweep, and what to do; None if there is none.
    """
    if isinstance(data, dict) and not data.keys().isdisjoint(("method", "parameters")):
        return None
    found = list(_sweeps(data, ()))
    if not found:
        return None
    path, keys = found[0]
    instead = "move these keys to the top level of the file"
    if len(found) > 1:
        instead = f"there are {len(found)} of them: write each to a separate file"
    return path, f"contains a sweep ({', '.join(keys)}); {instead}"


def misplaced_key(
    data: Mapping[Any, Any], key: str, values: Collection[Any] | None = None
) -> tuple[Path, str] | None:
    """A key of the top level that is in one of the sections of a file, and not at the top level.

    Args:
        data: the data of the file.
        key: the key.
        values: the values that it can have; by default any.

    Returns:
        the path of the key, and what to do; None if there is none.
    """
    for section, entries in data.items():
        if isinstance(entries, dict) and key in entries and key not in data:
            value = entries[key]
            if values is None or (isinstance(value, str) and value in values):
                return (section, key), f"belongs to the top level of the file; {CHECK_INDENTATION}"
    return None


CHECK_INDENTATION = "move it there (check the indentation)"


def _sweeps(data: Any, path: Path) -> Iterator[tuple[Path, list[str]]]:
    keys = [key for key in _KEYS if isinstance(data, dict) and key in data]
    if len(keys) > 1 and ("method" in keys or "parameters" in keys):
        yield path, keys
    elif len(path) < _DEPTH:
        entries = (
            data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
        )
        for key, value in entries:
            yield from _sweeps(value, (*path, key))
