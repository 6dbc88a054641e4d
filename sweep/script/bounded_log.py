"""A log file of bounded size."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

HEAD = 8 << 20
TAIL = 8 << 20
"""Bytes that are kept from the beginning and the end of a log."""


class BoundedLog:
    """A file to which other processes append, and whose middle is removed once it is too long.

    It has at most `HEAD` and twice `TAIL` bytes.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left_out = self._known()

    def cut(self) -> None:
        """Remove the middle of the file if it is too long."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:  # the script has removed it
            return
        if size <= HEAD + 2 * TAIL:
            return
        with self._path.open("r+b") as file:
            file.seek(size - TAIL)
            begin = size - TAIL + file.read(4096).find(b"\n") + 1  # the beginning of a line, if one is near
            self._left_out += begin - HEAD - (len(self._note()) if self._left_out else 0)
            file.seek(begin)
            tail = self._note() + file.read()
            os.pwrite(file.fileno(), tail, HEAD)
            os.ftruncate(file.fileno(), HEAD + len(tail))

    def _known(self) -> int:
        """How many bytes an earlier attempt's log has left out already."""
        with suppress(OSError), self._path.open("rb") as file:
            file.seek(HEAD)
            if found := re.match(rb"\n\[ *(\d+) bytes left out\]\n", file.read(64)):
                return int(found[1])
        return 0

    def _note(self) -> bytes:
        return b"\n[%15d bytes left out]\n" % self._left_out
