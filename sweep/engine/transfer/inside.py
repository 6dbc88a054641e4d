"""File operations that never leave a directory, whatever paths and links they are given."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Inside:
    """A directory whose contents are changed by relative paths.

    Each part of a path is opened by itself and no link is followed, so that a link, even one that appears
    meanwhile, leads nowhere.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def parent(self, path: str, creates: bool = False) -> Iterator[tuple[int, str]]:
        """The descriptor of the directory that contains an entry, and the entry's name.

        Args:
            path: the path of the entry.
            creates: whether directories on the way are created, in place of what else is there.

        Raises:
            ValueError: the path would leave the directory.
            OSError: a directory on the way is missing, or is a link.
        """
        *folders, name = split(path)
        current = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = _enter(folder, current, creates)
                os.close(current)
                current = below
            yield current, name
        finally:
            os.close(current)

    def open_file(self, path: str, flags: int) -> int:
        """Open a regular file; returns its descriptor.

        Args:
            path: the file.
            flags: as for `os.open`. With `O_CREAT` its parents are created too.

        Raises:
            OSError: it is missing, or is not a regular file.
        """
        with self.parent(path, bool(flags & os.O_CREAT)) as (folder, name):
            try:
                file = os.open(name, flags | _SAFE, 0o644, dir_fd=folder)
            except PermissionError as error:  # a trial has made it read-only, and changes it again
                if not _make_writable(name, folder):
                    raise error from None
                file = os.open(name, flags | _SAFE, 0o644, dir_fd=folder)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "is not a regular file", path)
        return file

    def make_directory(self, path: str) -> None:
        """Create a directory and its parents, in place of what else is there."""
        with self.parent(path, creates=True) as (folder, name):
            os.close(_enter(name, folder, creates=True))

    def link(self, path: str, target: str) -> None:
        """Create a symbolic link, in place of what is there. The caller has checked the target."""
        with self.parent(path, creates=True) as (folder, name):
            _remove(name, folder)
            os.symlink(target, name, dir_fd=folder)

    def move(self, source: str, target: str) -> None:
        """Rename an entry; what is at its new place is replaced.

        A directory that is replaced is set aside first, where `durable.list_complete` still finds it.
        """
        with self.parent(source) as (at, old), self.parent(target, creates=True) as (folder, new):
            aside = f".{new}.old"
            if _is_directory(new, folder) or _is_directory(old, at):
                _remove(aside, folder)
                with suppress(FileNotFoundError):
                    os.rename(new, aside, src_dir_fd=folder, dst_dir_fd=folder)
            os.rename(old, new, src_dir_fd=at, dst_dir_fd=folder)
            _remove(aside, folder)

    def sync(self, path: str) -> None:
        """Wait until an entry, with its contents, is on disk."""
        with self.parent(path) as (folder, name):
            _sync(name, folder)

    def sync_parent(self, path: str) -> None:
        """Wait until the directory that contains an entry is on disk."""
        with self.parent(path) as (folder, _):
            os.fsync(folder)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a directory with its contents, if it exists."""
        with suppress(FileNotFoundError, NotADirectoryError), self.parent(path) as (folder, name):
            _remove(name, folder)


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


def _enter(name: str, folder: int, creates: bool) -> int:
    """Open a directory by its name in another one."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not creates:
            raise
    except OSError:  # a file, or a link
        if not creates or _is_directory(name, folder):
            raise
        _remove(name, folder)
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def _is_directory(name: str, folder: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _remove(name: str, folder: int) -> None:
    if not _is_directory(name, folder):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        return
    inner = os.open(name, _FOLDER, dir_fd=folder)
    try:
        for entry in os.listdir(inner):
            _remove(entry, inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)


def _sync(name: str, folder: int) -> None:
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        return
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if _is_directory(name, folder):
            for entry in os.listdir(file):
                _sync(entry, file)
        os.fsync(file)
    finally:
        os.close(file)


def _make_writable(name: str, folder: int) -> bool:
    """Make a regular file writable for this user; returns whether there is one that was not."""
    try:
        file = os.open(name, os.O_RDONLY | _SAFE, dir_fd=folder)
    except OSError:
        return False
    try:
        mode = os.fstat(file).st_mode
        is_read_only = stat.S_ISREG(mode) and not mode & stat.S_IWUSR
        if is_read_only:
            os.fchmod(file, stat.S_IMODE(mode) | stat.S_IWUSR)
        return is_read_only
    finally:
        os.close(file)
