"""File operations below a directory by relative paths, which lead out of it neither by `..` nor by a link.

Links that appear during an operation are not expected: what could set them runs as the same user.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK
"""No link is followed, and a pipe does not block."""


def place(root: Path, path: str, creates: bool = False) -> Path:
    """Where an entry is. No link is on the way.

    Args:
        root: the directory.
        path: the relative path of the entry.
        creates: whether directories on the way are created, in place of what else is there.

    Raises:
        ValueError: the path would leave the directory.
        NotADirectoryError: a file or a link is on the way.
    """
    *folders, name = split(path)
    folder = root
    for part in folders:
        folder /= part
        if creates:
            _make_directory(folder)
        elif os.path.lexists(folder) and not _is_directory(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return folder / name


def open_file(root: Path, path: str, flags: int) -> int:
    """Open a regular file; returns its descriptor.

    Args:
        root: the directory.
        path: the relative path of the file.
        flags: as for `os.open`. With `O_CREAT` its parents are created too.

    Raises:
        OSError: it is missing, or is not a regular file.
    """
    found = place(root, path, bool(flags & os.O_CREAT))
    try:
        file = os.open(found, flags | _SAFE, 0o644)
    except PermissionError:
        mode = found.stat().st_mode if found.is_file() else stat.S_IWUSR
        if mode & stat.S_IWUSR:
            raise
        found.chmod(mode | stat.S_IWUSR)  # a trial has made it read-only, and changes it again
        file = os.open(found, flags | _SAFE, 0o644)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return file


def make_directory(root: Path, path: str) -> None:
    """Create a directory and its parents, in place of what else is there."""
    _make_directory(place(root, path, creates=True))


def link(root: Path, path: str, target: str) -> None:
    """Create a symbolic link, in place of what is there. The caller has checked the target."""
    found = place(root, path, creates=True)
    _remove(found)
    found.symlink_to(target)


def move(root: Path, source: str, target: str) -> None:
    """Rename an entry; what is at its new place is replaced.

    A directory that is replaced is set aside first, where `durable.list_complete` still finds it.

    Raises:
        FileNotFoundError: there is no such entry.
    """
    old, new = place(root, source), place(root, target, creates=True)
    if not _is_directory(new) and not _is_directory(old):
        old.rename(new)
        return
    old.lstat()  # nothing is set aside for what is missing
    aside = new.with_name(f".{new.name}.old")
    _remove(aside)
    with suppress(FileNotFoundError):
        new.rename(aside)
    old.rename(new)
    _remove(aside)


def remove(root: Path, path: str) -> None:
    """Remove a file, a link or a directory with its contents, if it exists."""
    with suppress(FileNotFoundError, NotADirectoryError):
        _remove(place(root, path))


def split(path: str) -> list[str]:
    """The parts of a relative path.

    Raises:
        ValueError: it is not a path below a directory.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(f"{path!r}: is not a path below the directory")
    return parts


def check_link(path: str, target: str) -> None:
    """Check that a link does not lead out of the directory, even if other such links are on its way.

    Raises:
        ValueError: it does, or could.
    """
    parts = target.split("/")
    up = 0
    while up < len(parts) and parts[up] == "..":
        up += 1
    if up > path.count("/") or any(part in ("", "..") or "\0" in part for part in parts[up:]):
        raise ValueError(f"{path}: is a link to {target!r}, out of the directory")


def inner_target(root: Path, path: str, target: str) -> str | None:
    """The target of a link as `check_link` accepts it; None if the link leads out of the directory.

    Args:
        root: the directory.
        path: the relative path of the link.
        target: its target.
    """
    if not os.path.isabs(target):
        with suppress(ValueError):
            check_link(path, target)
            return target
    folder = os.path.dirname(path)
    place = os.path.relpath(target if os.path.isabs(target) else os.path.join(root, folder, target), root)
    return None if place.split("/")[0] == ".." else os.path.relpath(place, folder or ".")


def _is_directory(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _make_directory(path: Path) -> None:
    if not _is_directory(path):
        _remove(path)
    path.mkdir(exist_ok=True)


def _remove(path: Path) -> None:
    if _is_directory(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
