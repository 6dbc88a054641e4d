"""Paths that a user writes: `~` is the home directory, and others are relative to the current one."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.errors import InputError


def expand_home(text: str) -> str:
    """A path with the home directory in place of a leading `~` or `~user`.

    A shell expands `~` only at the beginning of an argument: not in `--runs=~/x`, and not in files.

    Raises:
        InputError: there is no such home directory.
    """
    if not text.startswith("~"):
        return text
    prefix = text.partition("/")[0]
    # Without HOME, `expanduser` looks into the password database, where a container's user may be missing.
    is_known = bool(os.environ.get("HOME", "unset")) or prefix != "~"
    expanded = os.path.expanduser(text) if is_known else text
    if expanded.startswith("~"):
        cause = "HOME is not set" if prefix == "~" else f"there is no user {prefix[1:]!r}"
        raise InputError(f"{text}: {prefix} has no home directory: {cause}; write the absolute path")
    return expanded


def expand_argument(text: str) -> str:
    """An argument of a command, expanded as a shell expands it. Only `~` itself is: `~5` may be anything.

    Raises:
        InputError: there is no home directory.
    """
    return expand_home(text) if text == "~" or text.startswith("~/") else text


def expand_variable(text: str) -> str:
    """The value of an environment variable, expanded as a shell expands it: also after each `:`, for PATH.

    Raises:
        InputError: there is no home directory.
    """
    return ":".join(map(expand_argument, text.split(":")))


def expand_url(text: str) -> str:
    """The URL of a database, which can be a file: `sqlite:///~/study.db`.

    Raises:
        InputError: there is no such home directory.
    """
    scheme, separator, path = text.partition(":///")
    return f"{scheme}{separator}{expand_home(path)}"


def check_current_directory() -> None:
    """Check that the current directory exists: it can have been removed or unmounted.

    Raises:
        InputError: it does not.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(
            f"the current directory is not accessible: {error.strerror}; change to another one"
        ) from None


def home_path(path: str | os.PathLike[str]) -> Path:
    """A path with `~` expanded.

    Raises:
        InputError: there is no such home directory.
    """
    return Path(expand_home(os.fspath(path)))


def moved(path: Path, old: Path, new: Path) -> Path:
    """A path in the folder `old` as the same path in the folder `new`; other paths are not changed."""
    return new / path.relative_to(old) if path.is_relative_to(old) else path
