"""Passes the sweep's variables to the child processes of a script, even if it clears their environment.

Without them a child would not load `sitecustomize`: W&B's package would go online, and event files would
not be found. A child that ignores `PYTHONPATH` (`python -I`) cannot be reached, nor can the children of a
program that is not Python and clears the environment (`env -i`).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would slow down every Python process of a script
    from collections.abc import Callable
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_PATH = "PYTHONPATH"
_ENVIRONMENT = 10
"""The position of `env` among the arguments of `subprocess.Popen`."""


def keep_variables() -> dict[str, Callable[[Any], None]]:
    """Keep the sweep's variables, and its folder on `PYTHONPATH`, in the environment of all child processes.

    Returns:
        the modules that are adapted when they are imported.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("SWEEP_")}
    put, unset = os.putenv, os.unsetenv

    def putenv(name: Any, value: Any) -> None:
        if os.fsdecode(name) == _PATH:
            value = _with_own_folder(os.fsdecode(value))
        put(name, value)

    def unsetenv(name: Any) -> None:
        text = os.fsdecode(name)
        if text == _PATH:
            put(name, _HERE)
        elif text in kept:
            put(name, kept[text])
        else:
            unset(name)

    def complete(environment: Any) -> Any:
        if environment is None:
            return None
        texts = {os.fsdecode(name): value for name, value in environment.items()}
        path = os.fsdecode(texts.get(_PATH, ""))
        return {**kept, **texts, _PATH: _with_own_folder(path)}

    os.putenv, os.unsetenv = putenv, unsetenv  # `os.environ` calls them
    for name in ("execve", "posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            setattr(os, name, _completing(getattr(os, name), complete))
    return {"subprocess": lambda module: _adapt_popen(module.Popen, complete)}


def _with_own_folder(path: str) -> str:
    return path if _HERE in path.split(os.pathsep) else os.pathsep.join(filter(None, [_HERE, path]))


def _completing(start: Any, complete: Any) -> Any:
    """A function of `os` that starts a program with an environment."""

    def start_with_variables(path: Any, argv: Any, env: Any, **options: Any) -> Any:
        return start(path, argv, complete(env), **options)

    return start_with_variables


def _adapt_popen(cls: Any, complete: Any) -> None:
    initialise = cls.__init__

    def __init__(self: Any, *args: Any, **options: Any) -> None:
        if len(args) > _ENVIRONMENT:
            args = (*args[:_ENVIRONMENT], complete(args[_ENVIRONMENT]), *args[_ENVIRONMENT + 1 :])
        elif "env" in options:
            options["env"] = complete(options["env"])
        initialise(self, *args, **options)

    __init__.__wrapped__ = initialise  # type: ignore[attr-defined]  # for `inspect.signature`
    cls.__init__ = __init__
