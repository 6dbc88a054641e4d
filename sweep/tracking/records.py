"""The records of an event file, read while it may grow."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from sweep.tracking.tensorboardx import masked_crc32c

_HEAD = struct.Struct("<QI")


class BrokenFileError(ValueError):
    """What stands at some place is no record: behind it there is nothing to be relied on."""


def read_records(
    path: Path, start: int = 0, largest: int | None = None
) -> Iterator[tuple[bytes | None, int]]:
    """The whole records of a TFRecord file: length (8 bytes), its checksum (4), content, its checksum (4).

    One that is cut off, for it is being written or its writer died, is not among them.

    Args:
        path: the file.
        start: where a record begins, in bytes.
        largest: contents of more bytes are left out (None stands for them).

    Yields:
        a record's content, and where the next one begins.

    Raises:
        BrokenFileError: there is something else in the place of a record.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(start)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if masked_crc32c(head[:8]) != checksum:
                raise BrokenFileError(f"{path}: no record at byte {file.tell() - _HEAD.size}")
            end = file.tell() + length + 4
            if end > size:
                return
            is_wanted = largest is None or length <= largest
            content = file.read(length) if is_wanted else None
            file.seek(end)
            yield content, end
