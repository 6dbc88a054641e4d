"""An objective that exists only in the calling process: a function of a script or notebook, or a closure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

from sweep.errors import InputError
from sweep.objective.user_process import UserProcess, replaced_libraries
from sweep.system.libraries import is_library
from sweep.system.paths import moved
from sweep.trial.trial import Objective


class PickledFunction:
    """A function that is pickled and sent to workers.

    cloudpickle sends functions of `__main__` (a script, a notebook), lambdas and closures by value, and those
    of other modules by name; workers search for these modules on the caller's `sys.path`.

    Args:
        function: the objective.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function: Objective | None = function
        self._path = tuple(str(Path(entry).absolute()) for entry in sys.path)
        self._program = sys.argv[0] if sys.argv else ""
        code = getattr(underlying_function(function), "__code__", None)
        self._file = None if code is None else Path(code.co_filename)
        self._main: ModuleType | None = None
        self._pickled: bytes | None = None
        self.name = describe(function)

    def check_can_be_sent(self) -> None:
        """Check that the function can be pickled.

        Raises:
            InputError: it cannot be pickled.
        """
        self._pickle()

    def moved(self, old: Path, new: Path) -> PickledFunction:
        """The same function, whose modules are in a copy of a folder."""
        path = tuple(str(moved(Path(entry), old, new)) for entry in self._path)
        file = None if self._file is None else moved(self._file, old, new)
        return _received(self._pickle(), path, self._program, file, self.name)

    def user_process(self) -> UserProcess:
        """The process that the function sees: the caller's, without the arguments of its command line."""
        if self._function is not None:
            return UserProcess(self._program)
        self._main = ModuleType("__main__")
        folders = [entry for entry in self._path if entry not in sys.path and not is_library(entry)]
        replaced = replaced_libraries("", self._file, folders)
        return UserProcess(self._program, folders, self._main, replaced)

    def load(self) -> Objective:
        """The function, unpickled where needed. Exceptions from importing its modules are not caught."""
        if self._function is None:
            import cloudpickle

            assert self._pickled is not None
            sys.path += [entry for entry in self._path if entry not in sys.path]
            self._function = cloudpickle.loads(self._pickled)
            if self._main is not None:
                _fill_main(self._main, self._function)
        return self._function

    def __reduce__(self) -> Any:
        return _received, (self._pickle(), self._path, self._program, self._file, self.name)

    def _pickle(self) -> bytes:
        if self._pickled is None:
            import cloudpickle

            try:
                self._pickled = cloudpickle.dumps(self._function)
            except Exception as error:  # noqa: BLE001 - pickling the user's objects can raise anything
                raise InputError(
                    f"{self.name} cannot be sent to workers: {type(error).__name__}: {error}; create "
                    "what cannot be pickled inside the function, or run the sweep with inline=True"
                ) from None
        return self._pickled


def _received(
    pickled: bytes, path: tuple[str, ...], program: str, file: Path | None, name: str
) -> PickledFunction:
    received = PickledFunction.__new__(PickledFunction)
    received._function, received._main, received._pickled = None, None, pickled
    received._path, received._program, received._file, received.name = path, program, file, name
    return received


def _fill_main(main: ModuleType, function: Callable[..., Any]) -> None:
    """Make `main` like the caller's `__main__`, if the function was defined there.

    Then the objects of its classes can be pickled by name, and child processes that are spawned import the
    caller's script, as multiprocessing does.
    """
    plain = underlying_function(function)
    names = getattr(plain, "__globals__", {})
    if names.get("__name__") != "__main__":
        return
    vars(main).update(names)
    for named in (plain, type(function)):
        if getattr(named, "__module__", None) == "__main__" and "." not in named.__qualname__:
            setattr(main, named.__qualname__, named)
    if main.__package__ and names.get("__file__"):  # `python -m package.module`
        main.__spec__ = ModuleSpec(f"{main.__package__}.{Path(names['__file__']).stem}", None)


def underlying_function(function: Callable[..., Any]) -> Any:
    """The plain function of a partial, a method, a decorated function or an instance with `__call__`."""
    function = inspect.unwrap(function)
    while isinstance(function, (partial, MethodType)):
        function = inspect.unwrap(function.func if isinstance(function, partial) else function.__func__)
    return function if hasattr(function, "__code__") else type(function).__call__


def describe(function: Callable[..., Any]) -> str:
    """The module and name of a function as in a sweep file's `objective`: `__main__:train`."""
    named = function if hasattr(function, "__qualname__") else getattr(function, "func", type(function))
    return f"{getattr(named, '__module__', None) or '__main__'}:{getattr(named, '__qualname__', 'objective')}"
