"""An objective that is a function of the calling process: of a script, a notebook cell, a closure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweep.errors import InputError
from sweep.trial.trial import Objective


class PickledFunction:
    """A function, sent to workers by value where they could not import it.

    cloudpickle sends functions of `__main__` (a script, a notebook), lambdas and closures whole, and those of
    other modules by name; where the caller found these, the workers look for them too.

    Args:
        function: the objective.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function: Objective | None = function
        self._path = tuple(str(Path(entry).absolute()) for entry in sys.path)
        self._pickled: bytes | None = None
        self.name = describe(function)

    def check_can_be_sent(self) -> None:
        """See that it can be sent to another process.

        Raises:
            InputError: it cannot.
        """
        self._pickle()

    def load(self) -> Objective:
        """The function. In another process, what importing its modules raises comes through."""
        if self._function is None:
            import cloudpickle

            assert self._pickled is not None
            sys.path += [entry for entry in self._path if entry not in sys.path]
            self._function = cloudpickle.loads(self._pickled)
        return self._function

    def __reduce__(self) -> Any:
        return _received, (self._pickle(), self._path, self.name)

    def _pickle(self) -> bytes:
        if self._pickled is None:
            import cloudpickle

            try:
                self._pickled = cloudpickle.dumps(self._function)
            except Exception as error:  # noqa: BLE001 - what it holds may raise anything
                raise InputError(
                    f"{self.name} cannot be sent to workers: {type(error).__name__}: {error}; create "
                    "such things inside the function, or run the sweep with inline=True"
                ) from None
        return self._pickled


def _received(pickled: bytes, path: tuple[str, ...], name: str) -> PickledFunction:
    given = PickledFunction.__new__(PickledFunction)
    given._function, given._pickled, given._path, given.name = None, pickled, path, name
    return given


def describe(function: Callable[..., Any]) -> str:
    """A function's module and name, as the sweep file has it: `__main__:train`."""
    named = function if hasattr(function, "__qualname__") else getattr(function, "func", type(function))
    return f"{getattr(named, '__module__', None) or '__main__'}:{getattr(named, '__qualname__', 'objective')}"
