"""Hints where YAML reads a text differently from how it looks: commas in lists, `on`, special characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sweep.sweepfile.parameters import Choice
from sweep.sweepfile.tree import flatten
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.yaml import Document, Path

if TYPE_CHECKING:
    from sweep.sweepfile.model import SweepSpec

_SYNTAX_HINTS = {
    r"'\\t' that cannot start": "indent with spaces instead of tabs",
    r"cannot start any token|chomping or indentation|comment or a line break": "put text that begins with "
    "% @ ` > or | in quotes",
    r"undefined alias|scanning an? alias|scanning an? anchor": "put text that begins with * or & in quotes",
    r"constructor for the tag|scanning a tag|undefined tag": "put text that begins with ! in quotes",
    r"mapping values are not allowed|but got ':'": "check the indentation, or put text that contains ': ' "
    "in quotes",
    r"unknown escape character|escape sequence": "put text with a backslash in single quotes",
    r"block end>, but found '(<scalar>|,|\]|\})'": "check the indentation, or put the whole text in quotes",
    r"block end>, but found '<block": "check the indentation",
    r"flow": "put text with brackets or quotes, such as ${...} or a[0], in quotes",
}
"""A part of PyYAML's message about invalid YAML, and what to do."""


_MAX_PIECES = 20
"""More items than this are not the pieces of one text."""


def syntax_hint(problem: str) -> str:
    """What to do about invalid YAML, as the end of its message; empty if unknown."""
    return next((f"; {hint}" for part, hint in _SYNTAX_HINTS.items() if re.search(part, problem)), "")


def quoted(text: str) -> str:
    """A text in quotes, as in a YAML file."""
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def split_texts(items: Sequence[Any], pairs: str = "()[]{}") -> Iterator[tuple[int, str]]:
    """The texts that YAML has split at their commas: `[min(a, b)]` has the items `min(a` and `b)`.

    Args:
        items: the items of a list.
        pairs: the pairs of characters between which a comma belongs to a text.

    Returns:
        the index of the first piece of each, and the whole text.
    """
    start, whole = 0, ""
    for index, item in enumerate(items):
        whole = f"{whole}, {item}" if whole else item if isinstance(item, str) else ""
        if not whole:
            continue
        start = index if whole is item else start
        depth = _open_pairs(whole, pairs)
        if depth <= 0 or index - start > _MAX_PIECES:
            if index > start and depth == 0:
                yield start, whole
            whole = ""


def _open_pairs(text: str, pairs: str) -> int:
    """The number of brackets and quotes that are opened and not closed; negative if one is closed only."""
    closing = dict(zip(pairs[::2], pairs[1::2], strict=True))
    expected: list[str] = []
    for letter in text:
        if expected and letter == expected[-1]:
            expected.pop()
        elif expected and expected[-1] in "\"'":
            continue  # a bracket in quotes
        elif letter in closing:
            expected.append(closing[letter])
        elif letter in closing.values():
            return -1
    return len(expected)


def split_notes(spec: SweepSpec) -> tuple[str, ...]:
    """Notes about values and arguments that look like the pieces of one."""
    lists: dict[str, Sequence[Any]] = {"command": spec.command or ()}
    for name, flat in flatten(spec.parameters).items():
        if isinstance(flat.parameter, Choice):
            lists[f"parameters.{name}.values"] = flat.parameter.values
    return tuple(
        f"{place}: {short_repr(items[start])} is a separate item, because YAML splits a list at commas; "
        f"if you mean one text, write {quoted(text)}, and for a list [...]"
        for place, items in lists.items()
        for start, text in split_texts(items)
    )


def text_notes(document: Document) -> tuple[str, ...]:
    """Notes about values that YAML reads as something else: `on` is true, `None` is a string."""
    notes = []
    for path, text in document.retyped.items():
        place = ".".join(map(str, path))
        if not _is_value(path):
            continue
        if text == "None":
            notes.append(f"{place}: None is a string in YAML; for Python's None write null")
        else:
            value = "true" if _entry(document.data, path) else "false"
            notes.append(f'{place}: YAML reads {text} as {value}; for the text write "{text}"')
    return tuple(notes)


def _is_value(path: Path) -> bool:
    """Whether an entry is a value that the sweep passes on, rather than an option such as `log: yes`."""
    if path[0] not in ("parameters", "enqueue", "env", "command"):
        return False
    return path[-1] != "log" or path[-2] in ("parameters", "env")


def _entry(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data
