"""Finds what a sweep file's `program` names: a script, a module after `-m`, or a program on PATH."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sweep.errors import EntryError
from sweep.sweepfile.command import Command
from sweep.sweepfile.files import find_file

_PROGRAM = "${program}"
_PYTHON = re.compile(r"\$\{interpreter\}|python[0-9.]*")


def find_program(
    program: str, command: Command, folders: Sequence[Path], variables: Mapping[str, str]
) -> Path | None:
    """The file that `program` names; None if it is a module or a program on PATH.

    Args:
        program: the sweep file's `program`.
        command: the command, which uses `${program}`.
        folders: the directories that a file can be relative to: first the one in which the script will run.
        variables: the script's environment.

    Raises:
        EntryError: there is no such file, module or program, or the command cannot run it.
    """
    before = list(command.items[: command.items.index(_PROGRAM)]) if _PROGRAM in command.items else []
    if before and before[-1] in ("-m", "--module"):
        _check_module(program, folders, variables, any(map(_PYTHON.fullmatch, before)))
        return None
    for folder in folders:
        if (folder / program / "__main__.py").is_file():
            return (folder / program).resolve()
    is_on_path = os.sep not in program and shutil.which(program, path=variables.get("PATH")) is not None
    try:
        return find_file("program", program, folders, "*")
    except EntryError as error:
        by_python = bool(before) and _PYTHON.fullmatch(before[-1]) is not None
        if is_on_path and not by_python:
            return None
        hint = ""
        if is_on_path:
            hint = '; to run the program on PATH, write command: ["${program}", "${args}"]'
        elif _has_module(program, folders[:1], variables):
            hint = '; to run the module, write command: ["${interpreter}", -m, "${program}", "${args}"]'
        raise EntryError("program", str(error).removeprefix("program: ") + hint) from None


def _check_module(
    name: str, folders: Sequence[Path], variables: Mapping[str, str], by_this_python: bool
) -> None:
    """Ensure that a module exists, if this Python runs it: another one can have other packages."""
    near = name.removesuffix(".py").strip("./").replace("/", ".")
    if near != name and all(map(str.isidentifier, near.split("."))):
        raise EntryError("program", f"{name} is a file, but -m needs the name of a module; write {near}")
    if not by_this_python or _has_module(name, folders[:1], variables):
        return
    hint = ""
    for folder in folders[1:]:
        if _has_module(name, [folder], {}):
            hint = f"; it is in {folder}: run the sweep there, or write cwd: {folder}"
    raise EntryError("program", f"there is no module {name} in {folders[0]}, nor is one installed{hint}")


def _has_module(name: str, folders: Sequence[Path], variables: Mapping[str, str]) -> bool:
    """Whether Python can run a module with `-m`. Of an installed one only the outermost package is checked,
    because finding the others would import it."""
    first, *rest = name.split(".")
    if not all(map(str.isidentifier, (first, *rest))):
        return False
    path = [Path(folder) for folder in variables.get("PYTHONPATH", "").split(os.pathsep) if folder]
    for folder in (*folders, *path):
        file = folder.joinpath(first, *rest)
        if file.with_name(f"{file.name}.py").is_file() or (file / "__main__.py").is_file():
            return True
        if (folder / f"{first}.py").is_file() or (folder / first / "__init__.py").is_file():
            return False  # it hides all other modules of its name
    with suppress(ValueError):  # `__main__` has no spec
        return importlib.util.find_spec(first) is not None
    return False
