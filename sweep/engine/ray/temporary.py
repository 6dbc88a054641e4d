"""Where Ray on this machine keeps its sockets: in a folder that only this user can enter."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sweep.errors import InputError

_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
"""The longest path of a Unix socket, in bytes."""
_LONGEST_NAME = len("/session_2026-11-29_00-34-58_024111_4194304/sockets/plasma_store")
"""What Ray appends to its folder for the name of a socket."""
_FOLDER = "r"
_NAME = Path("ray-12345678") / _FOLDER
_SHARED_MEMORY = Path("/dev/shm")
_FALLBACKS = ("/tmp", "/var/tmp", "/dev/shm")


def temporary_folder() -> AbstractContextManager[str]:
    """A folder for `ray.init(_temp_dir=...)` that only this user can enter; it is removed after the block.

    It is in RAY_TMPDIR, else TMPDIR, else /tmp. If it cannot be written there, or its path is too long for
    Ray's sockets, it is in another folder: Ray itself would time out after half a minute, or raise an
    exception about a socket.

    Raises:
        InputError: no folder can be used, or RAY_TMPDIR cannot, which is for Ray alone.
    """
    named = os.environ.get("RAY_TMPDIR")
    default = Path(named if named is not None else os.environ.get("TMPDIR", "/tmp"))
    problem = _problem(default / _NAME, creates_parents=named is not None)
    if problem is None:
        return _private_folder(default)
    if named is not None:
        raise InputError(f"RAY_TMPDIR={named}: {problem}; set it to another folder, or unset it")
    for folder in map(Path, _FALLBACKS):
        if _problem(folder / _NAME) is None:
            return _private_folder(folder)
    raise InputError(
        f"Ray has no folder for its sockets: {default} {problem}, and none of {', '.join(_FALLBACKS)} "
        "can be used; set RAY_TMPDIR to a folder with a short path, or use --inline (in Python inline=True)"
    )


@contextmanager
def _private_folder(parent: Path) -> Iterator[str]:
    """A folder in one that only this user can enter: Ray makes its own folders writable for everybody.

    Everybody who can write there can replace the sockets to which the processes of the sweep connect.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ray-", dir=parent, ignore_cleanup_errors=True) as private:
        yield os.path.join(private, _FOLDER)


def object_store_folder(temporary: str | None) -> str | None:
    """The folder for `ray.init(_plasma_directory=...)`; None for Ray's default, which is shared memory.

    Args:
        temporary: Ray's temporary folder; None for its default.
    """
    if sys.platform != "linux" or _problem(_SHARED_MEMORY / _NAME) is None:
        return None
    return temporary or tempfile.gettempdir()


def _problem(folder: Path, creates_parents: bool = False) -> str | None:
    """Why Ray cannot use a folder `_NAME`; None if it can."""
    if not folder.is_absolute():
        return "is not an absolute path"
    excess = len(os.fsencode(folder)) + _LONGEST_NAME - _SOCKET_PATH
    if excess > 0:
        return f"is too long for Ray's sockets, by {excess} characters"
    existing = folder.parent.parent
    while creates_parents and not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        return "is not a directory" if os.path.lexists(existing) else "does not exist"
    # Not `os.access`, which says yes to root for /proc and for read-only file systems.
    try:
        with tempfile.TemporaryFile(dir=existing):
            return None
    except OSError as error:
        return f"cannot be written: {error.strerror}"
