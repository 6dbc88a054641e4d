"""What a machine without the sweep's directory sends, and the interface of the place that receives it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

CHUNK = 4 << 20
"""The largest number of bytes that one call carries."""


@dataclass(frozen=True)
class SentRun:
    """The attempt whose files are sent.

    Args:
        number: the number of the trial.
        label: the label of the repeat; empty without repeats.
        attempt: the number of the attempt.
    """

    number: int
    label: str
    attempt: int


class Status(NamedTuple):
    """What a copy of a file shares with the original, besides its contents."""

    mode: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Status:
        return cls(stat.S_IMODE(status.st_mode) & 0o777, status.st_mtime_ns)


class Entry(NamedTuple):
    """A file, directory or link of a run directory.

    Attributes:
        kind: what it is.
        size: the size of a file, in bytes.
        status: the status of a file.
        inode: the inode of a file.
        target: where a link points to.
    """

    kind: Literal["file", "directory", "link"]
    size: int = 0
    status: Status = Status(0, 0)
    inode: int = 0
    target: str = ""


def scan(root: Path) -> dict[str, Entry]:
    """The entries below a directory by their relative paths, parents first. Without pipes and the like."""
    return dict(_scan(root, ""))


def _scan(folder: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
    try:
        found = sorted(os.scandir(folder), key=lambda item: item.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # removed meanwhile, or not readable
        return
    for item in found:
        path = prefix + item.name
        try:
            if item.is_symlink():
                yield path, Entry("link", target=os.readlink(item.path))
            elif item.is_dir():
                yield path, Entry("directory")
                yield from _scan(Path(item.path), f"{path}/")
            elif item.is_file():
                status = item.stat()
                yield path, Entry("file", status.st_size, Status.of(status), status.st_ino)
        except FileNotFoundError:  # removed meanwhile
            continue


# Changes of a run directory. Paths are relative to it, or to the attempt's staging area.


@dataclass(frozen=True)
class Write:
    """Write a part of a file, at its end.

    Args:
        path: the file; created if it is missing.
        offset: where the part begins.
        data: the part.
        status: the status of the file; None for a part of a staged file.
    """

    path: str
    offset: int
    data: bytes
    status: Status | None = None


@dataclass(frozen=True)
class MakeDirectory:
    """Create a directory.

    Args:
        path: the directory.
        is_staged: whether it belongs to what is staged.
    """

    path: str
    is_staged: bool = False


@dataclass(frozen=True)
class MakeLink:
    """Create a symbolic link, in place of what is there.

    Args:
        path: the link.
        target: where it points to: relative, and within the directory.
        is_staged: whether it belongs to what is staged.
    """

    path: str
    target: str
    is_staged: bool = False


@dataclass(frozen=True)
class Place:
    """Put what is staged at its place, completely or not at all.

    Args:
        source: the staged file or directory.
        path: its place.
        files: size and status of each staged file by its path in `source`; "" is `source` itself.
        keeps_file: write the contents into the existing file: programs that follow it have it open.
        is_durable: whether it must survive a power failure.
    """

    source: str
    path: str
    files: tuple[tuple[str, int, Status], ...]
    keeps_file: bool = False
    is_durable: bool = False


@dataclass(frozen=True)
class Remove:
    """Remove a file, a link or a directory with its contents."""

    path: str


Change = Write | MakeDirectory | MakeLink | Place | Remove


class StaleAttemptError(Exception):
    """An attempt is over, or another one of the same run has begun."""


class Store(Protocol):
    """Where the files of trials are kept."""

    def open(self, run: SentRun) -> dict[str, Entry]:
        """Begin an attempt; returns what earlier ones have left."""

    def read(self, run: SentRun, path: str, offset: int) -> bytes:
        """Read at most `CHUNK` bytes of a file."""

    def apply(self, run: SentRun, changes: Sequence[Change]) -> frozenset[str]:
        """Apply changes in their order; returns the paths that must be sent again, completely."""

    def close(self, run: SentRun) -> None:
        """End an attempt: nothing that it sends is accepted any more."""
