"""Imports a custom class that a sweep file names: `package.module:Class`."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any, TypeVar

from sweep.errors import EntryError, suggestion

T = TypeVar("T")


def add_cwd_to_path() -> None:
    """Make modules of the current directory importable, as `python -m` does and a console script does not."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


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
    add_cwd_to_path()
    try:
        module = importlib.import_module(name)
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
