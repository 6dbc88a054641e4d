"""What of a sweep's directory is in an object store, and the record of what both sides have."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISLNK, S_ISREG

from sweep.system.durable import write_atomically

MANIFEST = ".mirror"
"""In the store: the files of the last complete copy, and who has written it. Locally: what was copied."""
RUNNER = ".runner"
"""Who runs the sweep; renewed while it runs."""
JOURNAL = "journal.log"
SPEC = "sweep.yaml"
_LOCAL = {".lock", ".fence", ".requests", ".head", ".password", ".snapshot", MANIFEST, RUNNER}
"""What has no meaning elsewhere: locks, requests, secrets, caches."""
_UNFINISHED = re.compile(r"\..+\.([0-9a-f]{8}|old)|.+\.tmp|journal\.log\..*lock.*")

Stamp = tuple[int, int]
"""The size of a file, and when it was changed, in nanoseconds."""


def is_copied(name: str) -> bool:
    """Whether a file is copied, by its path relative to the sweep's directory."""
    first, *_ = parts = name.split("/")
    return first not in _LOCAL and not any(map(_UNFINISHED.fullmatch, parts))


def is_checkpoint(name: str) -> bool:
    return "checkpoint" in name.split("/")[:-1]


def unit(name: str) -> str:
    """What is complete with all of its files, or not at all: a checkpoint, or the file itself."""
    parts = name.split("/")
    return "/".join(parts[: parts.index("checkpoint") + 2]) if is_checkpoint(name) else name


def local_files(root: Path) -> dict[str, Stamp]:
    """The files of a sweep's directory that are copied, by their relative paths.

    A link to another file of the directory counts as a file with that content. Other links are left out.
    """
    found = {}
    real = root.resolve()
    for folder, _, names in os.walk(root):
        for entry in names:
            path = Path(folder, entry)
            name = path.relative_to(root).as_posix()
            with suppress(OSError):
                if is_copied(name) and _is_content(path, real):
                    found[name] = stamp(path)
    return found


def _is_content(path: Path, root: Path) -> bool:
    mode = path.lstat().st_mode
    if S_ISLNK(mode):
        return path.is_file() and path.resolve().is_relative_to(root)
    return S_ISREG(mode)


def stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@dataclass
class Record:
    """What a local directory has in common with the store.

    Args:
        writers: who has written the copy in the store, when both were last the same; two while it is written.
        is_source: whether the sweep has run here since. Then the directory is at least as new as that copy.
        stamps: the local files at that moment.
        tags: the objects in the store that were fetched, as the store identifies their contents.
    """

    writers: list[str] = field(default_factory=list)
    is_source: bool = False
    stamps: dict[str, Stamp] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Record:
        with suppress(OSError, ValueError, TypeError):
            data = json.loads((root / MANIFEST).read_text("utf-8"))
            data["stamps"] = {name: tuple(found) for name, found in data["stamps"].items()}
            return cls(**data)
        return cls()

    def write(self, root: Path) -> None:
        write_atomically(root / MANIFEST, json.dumps(vars(self)))
