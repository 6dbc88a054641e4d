"""A log that does not fill the disk."""

from __future__ import annotations

import os
from pathlib import Path

HEAD = 8 << 20
TAIL = 8 << 20
"""Bytes of a log that are kept from its beginning and from its end."""


class BoundedLog:
    """A file to which others append: what is in its middle is left out once it is too long.

    It never has more than `HEAD` and twice `TAIL`, and its end is always at its end.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left_out = 0

    def cut(self) -> None:
        """Leave out what is too much, if it is."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:  # the script has removed it
            return
        if size <= HEAD + 2 * TAIL:
            return
        with self._path.open("r+b") as file:
            begin = _after_line(file.fileno(), size - TAIL)
            self._left_out += begin - HEAD - (len(self._note()) if self._left_out else 0)
            os.lseek(file.fileno(), begin, os.SEEK_SET)
            tail = file.read()
            note = self._note()
            os.pwrite(file.fileno(), note + tail, HEAD)
            os.ftruncate(file.fileno(), HEAD + len(note) + len(tail))

    def _note(self) -> bytes:
        return b"\n[%15d bytes left out]\n" % self._left_out


def _after_line(file: int, at: int) -> int:
    """The beginning of a line near a place, if there is one."""
    found = os.pread(file, 4096, at).find(b"\n")
    return at + found + 1
