"""Markdown for TensorBoard's Text tab. What users named or wrote is shown there and never interpreted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

_LONGEST = 300
"""Characters of a cell; longer ones are cut."""
_MARKERS = tuple("0123456789-+=:")
_SPECIAL = re.compile(r"[^\w .,:;=+%/()-]|_", re.ASCII)


def escape(value: Any) -> str:
    """Any value as text on one line without Markdown or HTML."""
    return _SPECIAL.sub(_escape_character, str(value))


def _escape_character(match: re.Match[str]) -> str:
    character = match[0]
    if not character.isprintable():
        if character.isspace():
            return " "
        character = character.encode("unicode_escape").decode("ascii")
        return "".join(f"&#{ord(part)};" for part in character)
    return f"&#{ord(character)};" if ord(character) < 128 else character


def table(titles: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A table. Titles and cells can be any values; long ones are cut."""
    lines = [[*map(_cell, titles)], ["---"] * len(titles)]
    lines += [[*map(_cell, row)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return _escape_cell(str(value))


@lru_cache(maxsize=1000)  # most titles and choices occur in every trial
def _escape_cell(text: str) -> str:
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def paragraph(text: str) -> str:
    """A sentence in a paragraph or a list. At its start even a number or a dash has a meaning in Markdown."""
    start = f"&#{ord(text[0])};" if text.startswith(_MARKERS) else escape(text[:1])
    return start + escape(text[1:])
