"""The contents of a file as it was sent, by which it is found out how it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sweep.engine.transfer.messages import CHUNK, Entry, Status

_HEAD = 1 << 20
_TAIL = 1 << 16
"""Bytes at the edges of what was sent of a file that has grown. If they have changed, the file has not only
grown: tarfile and zipfile overwrite the end of an archive to which they append."""


@dataclass(frozen=True)
class SentFile:
    """A file as it was sent.

    Args:
        inode: its inode.
        size: how many bytes were sent.
        status: its status.
        digest: a hash object that has read these bytes.
        edges: the digest of the first and the last of them.
    """

    inode: int
    size: int
    status: Status
    digest: Any
    edges: bytes

    def is_current(self, entry: Entry) -> bool:
        """Whether the file has not changed since, as far as its status tells."""
        return (self.inode, self.size, self.status) == (entry.inode, entry.size, entry.status)

    @classmethod
    def of(cls, file: int, status: os.stat_result, size: int, digest: Any) -> SentFile:
        """A file of which `size` bytes were sent."""
        return cls(status.st_ino, size, Status.of(status), digest, _edges(file, size))

    @classmethod
    def whole(cls, file: int) -> SentFile:
        """A file as if all of it had been sent."""
        status = os.fstat(file)
        return cls.of(file, status, status.st_size, _digest(file, status.st_size))

    def is_continued(self, file: int) -> bool:
        """Whether an open file consists of what was sent and perhaps more, as far as its edges tell."""
        status = os.fstat(file)
        if status.st_ino != self.inode or not 0 <= self.size <= status.st_size:
            return False
        return _edges(file, self.size) == self.edges if status.st_size > self.size else self.is_same(file)

    def is_same(self, file: int) -> bool:
        """Whether the contents of an open file are what was sent."""
        size = os.fstat(file).st_size
        return size == self.size and bool(_digest(file, size).digest() == self.digest.digest())


def parts(file: int, start: int, end: int) -> Iterator[bytes]:
    """The bytes of a file between two places, at least one part, which can be empty."""
    while True:
        data = os.pread(file, min(CHUNK, end - start), start)
        yield data
        start += len(data)
        if not data or start >= end:
            return


def _digest(file: int, size: int) -> Any:
    digest = hashlib.blake2b()
    for data in parts(file, 0, size):
        digest.update(data)
    return digest


def _edges(file: int, size: int) -> bytes:
    tail = os.pread(file, min(size, _TAIL), max(0, size - _TAIL))
    return hashlib.blake2b(os.pread(file, min(size, _HEAD), 0) + tail).digest()
