"""Reads the records of an event file that may still grow."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sweep.tracking.tensorboardx import masked_crc32c

_HEAD = struct.Struct("<QI")


class CorruptFileError(ValueError):
    """A file contains something that is not a record. Nothing after it is reliable."""


def read_records(
    path: Path, start: int = 0, largest: int | None = None
) -> Iterator[tuple[bytes | None, int]]:
    """The complete records of a TFRecord file: length (8 bytes), its checksum (4), content, its checksum (4).

    An incomplete last record, which is being written or whose writer died, is skipped.

    Args:
        path: the file.
        start: the position of a record, in bytes.
        largest: the content of records with more bytes is not read; None is yielded in its place.

    Yields:
        a record's content, and the position of the next record.

    Raises:
        CorruptFileError: the file contains something that is not a record.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(start)
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if masked_crc32c(head[:8]) != checksum:
                raise CorruptFileError(f"{path}: no record at byte {file.tell() - _HEAD.size}")
            end = file.tell() + length + 4
            if end > size:
                return
            is_wanted = largest is None or length <= largest
            content = file.read(length) if is_wanted else None
            file.seek(end)
            yield content, end


def is_complete(path: Path) -> bool:
    """Whether a file ends with a complete record, so that another can be appended."""
    ends = [0]
    with suppress(CorruptFileError):
        ends += [end for _, end in read_records(path, largest=0)]
    return ends[-1] == path.stat().st_size
