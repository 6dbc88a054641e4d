"""An objective that exists only in the calling process: a function of a script or notebook, or a closure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweep.errors import InputError
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
        self._pickled: bytes | None = None
        self.name = describe(function)

    def check_can_be_sent(self) -> None:
        """Check that the function can be pickled.

        Raises:
            InputError: it cannot be pickled.
        """
        self._pickle()

    def load(self) -> Objective:
        """The function, unpickled where needed. Exceptions from importing its modules are not caught."""
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
            except Exception as error:  # noqa: BLE001 - pickling the user's objects can raise anything
                raise InputError(
                    f"{self.name} cannot be sent to workers: {type(error).__name__}: {error}; create "
                    "what cannot be pickled inside the function, or run the sweep with inline=True"
                ) from None
        return self._pickled


def _received(pickled: bytes, path: tuple[str, ...], name: str) -> PickledFunction:
    received = PickledFunction.__new__(PickledFunction)
    received._function, received._pickled, received._path, received.name = None, pickled, path, name
    return received


def describe(function: Callable[..., Any]) -> str:
    """The module and name of a function as in a sweep file's `objective`: `__main__:train`."""
    named = function if hasattr(function, "__qualname__") else getattr(function, "func", type(function))
    return f"{getattr(named, '__module__', None) or '__main__'}:{getattr(named, '__qualname__', 'objective')}"
