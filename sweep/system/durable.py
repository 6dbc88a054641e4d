"""Files and directories that are on disk completely or not at all: copy, fsync, rename."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sweep.system.trees import copy_tree, remove_tree

_replacing = threading.Lock()


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file or directory (see `copy_tree`) to `target`, which is replaced once the copy is on disk."""
    source = source.resolve()
    if target.resolve().is_relative_to(source):
        raise ValueError(f"{source} would be copied into itself")
    copy = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        copy_tree(source, copy)
        sync(copy)
        with _replacing:
            # A rename does not replace a directory: it is set aside, where `list_complete` still finds it.
            aside = target.with_name(f".{target.name}.old")
            if os.path.lexists(target) and (copy.is_dir() or target.is_dir()):
                remove_tree(aside)
                target.rename(aside)
            copy.replace(target)
            sync_path(target.parent)
            if os.path.lexists(aside):
                aside.rename(copy)  # so that no reader finds it half removed
    finally:
        remove_tree(copy)


def list_complete(directory: Path) -> dict[str, Path]:
    """The complete files and directories in a directory by name, as `copy_atomically` wrote them."""
    names = sorted(os.listdir(directory))
    aside = {name[1:-4]: name for name in names if name.startswith(".") and name.endswith(".old")}
    whole = {name: name for name in names if not name.startswith(".")}
    return {name: directory / entry for name, entry in {**aside, **whole}.items()}


def remove_unfinished(directory: Path) -> None:
    """Clean up after a process that was killed in `copy_atomically`; no other process may be copying."""
    for name, path in list_complete(directory).items():
        path.rename(directory / name)
    for path in directory.glob(".*"):
        remove_tree(path)


def write_atomically(path: Path, text: str) -> None:
    """Write a file, which is replaced once the text is on disk."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    sync_path(temporary)  # otherwise a power failure can leave it empty
    temporary.replace(path)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, like `write_atomically`."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)  # the mode counts only when it is created
    with open(temporary, "x", encoding="utf-8", opener=partial(os.open, mode=0o600)) as file:
        file.write(text)
    sync_path(temporary)
    temporary.replace(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside a file, which replaces it at the end of the block. If the block fails, it is removed.

    What is not a regular file, such as /dev/stdout or a named pipe, is written directly.
    """
    path = path.resolve()  # a link stays one
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        sync_path(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or a directory with its contents, is on disk. A later rename could be earlier."""
    for item in [*path.rglob("*"), path]:
        sync_path(item)


def sync_path(path: Path) -> None:
    """Wait until a file, or a directory's list of entries, is on disk. Ignores a dangling link."""
    if path.exists():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
