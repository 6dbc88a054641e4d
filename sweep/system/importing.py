"""Imports the user's modules, among them custom classes that a sweep file names: `package.module:Class`."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, TypeVar

from sweep.errors import EntryError, suggestion
from sweep.system.libraries import import_as_user

T = TypeVar("T")


@contextmanager
def searched_first(folders: Sequence[str]) -> Iterator[None]:
    """Search some folders before the libraries while the user's code is imported or run.

    Python puts the script's folder first, and `python -m` the current one. A console script has neither.
    After the block, folders that were not on `sys.path` are searched last. What was added in it is kept.
    """
    before = list(sys.path)
    sys.path[:] = [*folders, *(entry for entry in before if entry not in folders)]
    try:
        yield
    finally:
        known = {*before, *folders}
        added = [entry for entry in sys.path if entry not in known]
        sys.path[:] = [*added, *before, *(folder for folder in folders if folder not in before)]


@contextmanager
def program_without_arguments(program: str) -> Iterator[None]:
    """Show the user's code `sys.argv` as for `python program`: this process has another command line."""
    argv, arguments = sys.argv, list(sys.argv)
    sys.argv = [program]
    try:
        yield
    finally:
        sys.argv = argv
        sys.argv[:] = arguments


def find_module(name: str, folder: str) -> ModuleSpec | None:
    """Find a module by its dotted name, in `folder` first, without importing its parent packages.

    They are imported only if a package computes where its modules are, or has no `__init__.py`.
    """
    top, *parts = name.split(".")
    with searched_first([folder]):
        spec = PathFinder.find_spec(top, [folder])
        if spec is None or spec.loader is None:
            spec = importlib.util.find_spec(top)
        with suppress(KeyError):  # from the locations of a folder without __init__.py
            for part in parts:
                top = f"{top}.{part}"
                folders = None if spec is None else spec.submodule_search_locations
                spec = None if folders is None else PathFinder.find_spec(top, list(folders))
        if top != name:
            spec = None
        return spec if spec is not None or not parts else importlib.util.find_spec(name)


def load_class(key: str, text: str, base: type[T]) -> type[T]:
    """Import a class that the sweep file names.

    Args:
        key: the entry that names the class, for messages.
        text: `package.module:Class`; modules of the current directory are found too.
        base: the required base class.

    Raises:
        EntryError: the module or class does not exist, the module cannot be imported, or the class is not
            derived from `base`.
    """
    name, _, class_name = text.partition(":")
    try:
        with searched_first([os.getcwd()]), program_without_arguments(name):
            module = import_as_user(name)
    except Exception as error:  # noqa: BLE001 - the user's module may raise anything
        raise EntryError(key, _import_problem(text, name, error)) from None
    target: Any = module
    for part in class_name.split("."):
        target = getattr(target, part, None)
    if target is None:
        classes = subclasses(module, base)
        hint = suggestion(class_name, classes) if classes else f"it has no {base.__name__}"
        raise EntryError(key, f"{text!r}: {name} has no {class_name!r}; {hint}")
    return check_class(key, text, target, base)


def check_class(key: str, text: str, target: object, base: type[T]) -> type[T]:
    """Check that `target` is a class derived from `base`.

    Raises:
        EntryError: `target` is not such a class.
    """
    if not isinstance(target, type) or not issubclass(target, base):
        kind = base.__name__.removeprefix("Base").lower()
        public_name = f"{base.__module__.split('._')[0]}.{base.__name__}"
        raise EntryError(key, f"{text!r} is not a {kind}; name a subclass of {public_name}")
    return target


def construct(key: str, text: str, class_: type[T], options: Mapping[str, Any]) -> T:
    """Create an object with the options of the sweep file.

    Raises:
        EntryError: the constructor raises.
    """
    try:
        return class_(**options)
    except Exception as error:  # noqa: BLE001 - the user's class may raise anything
        raise EntryError(
            key, f"{text!r} cannot be constructed with these options: {one_line(error)}"
        ) from None


def subclasses(module: ModuleType, base: type) -> list[str]:
    """The names of the classes derived from `base` that a module or its package defines."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__.startswith(module.__name__)
    ]


def one_line(error: BaseException) -> str:
    """An exception as part of a message."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _import_problem(text: str, name: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        if name == error.name or name.startswith(f"{error.name}."):
            return f"{text!r}: there is no module {error.name!r}, neither in {os.getcwd()} nor installed"
        return f"{text!r}: {name} needs {error.name!r}, which is not installed"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{text!r}: {name} cannot be imported: {one_line(error)}{where}"
