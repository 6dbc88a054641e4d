"""Whether a file can be executed, and what to write if it cannot."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from sweep.errors import EntryError, nearest

_LONGEST_FIRST_LINE = 256
"""Linux reads no more of it."""


def check_executable(name: str, directory: Path, path: str, by_env: bool = False) -> None:
    """Check that the first item of a command can be executed.

    Args:
        name: the item: a path, or a name that is looked up on PATH.
        directory: the working directory.
        path: the variable PATH.
        by_env: whether /usr/bin/env executes it, which gives a file without #! to sh.

    Raises:
        EntryError: it cannot.
    """
    if os.sep in name:
        file = directory / name
        if not file.is_file():
            raise EntryError("command", f"there is no file {name} (looked in {directory})")
        if not os.access(file, os.X_OK):
            raise EntryError("command", f"{name} is not executable; chmod +x {name}")
    else:
        found = shutil.which(name, path=path)
        if found is None:
            raise EntryError(
                "command", f"there is no program {name!r} on PATH{_similar(name, directory, path)}"
            )
        file = Path(found)
    problem = why_not_executable(file, directory, path, by_env)
    if problem:
        raise EntryError("command", f"{name} cannot be run: {problem}")


def _similar(name: str, directory: Path, path: str) -> str:
    if (directory / name).is_file():
        return f"; did you mean ./{name}?"
    names: list[str] = []
    for folder in path.split(os.pathsep):
        with suppress(OSError):  # it does not exist, or cannot be listed
            names += sorted(os.listdir(folder or os.curdir))
    near = nearest(name, names)
    return f"; did you mean {near}?" if near else ""


def why_not_executable(file: Path, directory: Path, path: str, by_env: bool = False) -> str:
    """Why the system cannot execute a file that has the permission for it; empty if nothing is wrong.

    The system's own errors do not say it: a missing interpreter is "no such file", although the file exists.

    Args:
        file: the file.
        directory: the working directory.
        path: the variable PATH.
        by_env: whether /usr/bin/env executes it.
    """
    try:
        with file.open("rb") as opened:
            first = opened.read(_LONGEST_FIRST_LINE)
    except OSError:  # a program need not be readable
        return ""
    if not first.startswith(b"#!"):
        is_text = b"\0" not in first and not first.startswith(b"MZ")
        return _without_interpreter(file, first) if is_text and not by_env else ""
    line = first[2:].partition(b"\n")[0].decode(errors="replace")
    if line.endswith("\r"):
        return (
            f"its first line ends with CRLF, so that its interpreter is {line.strip()!r} with a carriage "
            f"return; convert its line ends: sed -i 's/\\r$//' {file.name}"
        )
    parts = line.split()
    if not parts:
        return "its first line is #! without an interpreter; write #!/usr/bin/env python3 or #!/bin/sh"
    interpreter, arguments = parts[0], parts[1:]
    if not (directory / interpreter).exists():
        return f"its first line names the interpreter {interpreter}, which does not exist; write another"
    if not os.access(directory / interpreter, os.X_OK):
        return f"its first line names {interpreter}, which is not executable; write another"
    return _why_not_by_env(arguments, path) if Path(interpreter).name == "env" and arguments else ""


def _why_not_by_env(arguments: list[str], path: str) -> str:
    """Why /usr/bin/env cannot execute what a first line names, if that is certain."""
    if len(arguments) > 1 and not arguments[0].startswith("-"):
        text = " ".join(arguments)
        return f"its first line passes {text!r} to env as one argument; write #!/usr/bin/env -S {text}"
    command = next((each for each in arguments if each != "-S" and "=" not in each), "-")
    if command.startswith("-") or shutil.which(command, path=path) is not None:
        return ""
    return f"its first line names the interpreter {command!r}, which is not on PATH; write another"


def _without_interpreter(file: Path, first: bytes) -> str:
    if first.startswith(b"\xef\xbb\xbf#!"):
        return "a byte order mark precedes #! in its first line; save it as UTF-8 without one"
    interpreter = "/usr/bin/env python3" if file.suffix == ".py" else "/bin/sh"
    run = '"${interpreter}"' if file.suffix == ".py" else "sh"
    return (
        f"its first line does not name an interpreter; begin it with #!{interpreter}, or write how to run "
        f'it, for example command: [{run}, "${{program}}", "${{args}}"]'
    )
