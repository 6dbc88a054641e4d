"""Prints what a trial has printed: on a terminal colours remain, and no other control character does."""

from __future__ import annotations

import os
import re
import sys

from sweep.analysis.formatting import escaped
from sweep.script.plain_text import plain

_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")
_LONGEST_HELD = 1 << 16
"""Bytes after which an incomplete line is printed."""


class LogPrinter:
    """Prints the output of a trial. A context manager.

    What is not a terminal gets the bytes as they are. On a terminal, a line is shown as it was in the end: of
    a progress bar, its last state. Colours are removed if NO_COLOR is set.
    """

    def __init__(self) -> None:
        self._is_raw = not sys.stdout.isatty()
        self._has_colours = False
        self._rest = b""

    def __enter__(self) -> LogPrinter:
        return self

    def __exit__(self, *error: object) -> None:
        if self._rest:
            self._print(self._rest)
        if self._has_colours:
            print("\x1b[0m", end="", flush=True)

    def write(self, data: bytes) -> None:
        """Print more output. On a terminal, an incomplete line is printed with the rest of it."""
        if self._is_raw:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        lines, newline, rest = (self._rest + data).rpartition(b"\n")
        if newline:
            self._print(lines)
        self._rest = rest
        if len(rest) > _LONGEST_HELD:
            self._rest = b""
            self._print(rest)

    def _print(self, lines: bytes) -> None:
        text = "\n".join(map(self._shown, lines.decode("utf-8", "replace").split("\n")))
        print(text, flush=True)

    def _shown(self, line: str) -> str:
        last = line.rstrip("\r").rpartition("\r")[2]
        parts = _COLOUR.split(last)
        parts[::2] = [escaped(plain(part).expandtabs()) for part in parts[::2]]
        if os.environ.get("NO_COLOR"):
            return "".join(parts[::2])
        self._has_colours = self._has_colours or len(parts) > 1
        return "".join(parts)
