"""Files and directories that are there whole, and safely on the disk, or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EPERM)


def copy_whole(source: Path, place: Path) -> None:
    """Copy a file or a directory; what is in its place is replaced once the copy is complete.

    The copy stands by itself: links that lead out of a directory are copied as what they lead to; those that
    stay within it, or lead nowhere, stay links.

    Args:
        source: what to copy; a link stands for what it leads to.
        place: where; the directory above it exists.

    Raises:
        ValueError: `place` is in `source`, or `source` holds a link to a directory above it.
        OSError: it cannot be read, or not be written.
    """
    source = source.resolve()
    if source == place.resolve() or source in place.resolve().parents:
        raise ValueError(f"{source} would be copied into itself")
    aside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        _copy(source, aside, source, (source,))
        sync(aside)
        _put(aside, place)
        sync_one(place.parent)
    finally:
        _remove(aside)


def is_unfinished(path: Path) -> bool:
    """Whether it is what `copy_whole` makes while it works, or left when it was killed."""
    return path.name.startswith(".")


def remove_unfinished(directory: Path) -> None:
    """Remove what killed processes have left in a directory; nobody else copies into it meanwhile."""
    for path in directory.iterdir():
        if is_unfinished(path):
            _remove(path)


def _copy(source: Path, target: Path, root: Path, above: tuple[Path, ...]) -> None:
    if not source.is_dir():
        mode = source.stat().st_mode
        if not stat.S_ISREG(mode):  # to read a pipe may take for ever
            raise OSError(errno.EINVAL, "is neither a file nor a directory", str(source))
        shutil.copy2(source, target)
        return
    target.mkdir()
    for path in sorted(source.iterdir()):
        # One that leads to itself does not exist, and is not to be resolved.
        if path.is_symlink() and not (path.exists() and _leads_out(path, path.resolve(), root)):
            os.symlink(os.readlink(path), target / path.name)
            continue
        found = path.resolve()
        if path.is_dir() and any(found == one or found in one.parents for one in above):
            raise ValueError(f"{path} leads to {found}, in which it lies itself; take the link away")
        _copy(found, target / path.name, found if path.is_symlink() else root, (*above, found))
    shutil.copystat(source, target)


def _leads_out(link: Path, found: Path, root: Path) -> bool:
    """Whether a link would not lead to the same thing in a copy of `root`."""
    return os.path.isabs(os.readlink(link)) or not (found == root or root in found.parents)


def _put(aside: Path, place: Path) -> None:
    """Move into its place; at no time is there nothing, or a part of it."""
    if not place.is_dir() or place.is_symlink():
        if not aside.is_dir():
            aside.replace(place)
            return
        if not os.path.lexists(place):
            aside.rename(place)
            return
    if _exchange(aside, place):
        return
    old = aside.with_name(f"{aside.name}.old")  # a file system that cannot: for an instant there is nothing
    place.rename(old)
    aside.rename(place)
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places, in one step; False if the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    status = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if status == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or a directory with everything in it, is on the disk: a renamed directory may
    outlive its contents."""
    if not path.is_dir():
        sync_one(path)
        return
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            sync_one(Path(folder, name))
        sync_one(Path(folder))


def sync_one(path: Path) -> None:
    """Wait until a file, or the list of what is in a directory, is on the disk."""
    if path.is_symlink() and not path.exists():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
