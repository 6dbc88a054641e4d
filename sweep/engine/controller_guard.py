"""Calls the controller, and describes its failures in the same way for every engine.

The controller runs code of the user: custom samplers and pruners. If such code raises an exception, no trial
has failed: the sweep stops. The exception is described where it was raised, as text, because another process
may be unable to unpickle it, and would not have its traceback.
"""

from __future__ import annotations

import traceback
from bdb import BdbQuit
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from sweep.controller.controller import Controller
from sweep.engine.classify import DISK_FULL_ERRNOS, FREE_SPACE
from sweep.engine.user_traceback import one_line, project_traceback
from sweep.errors import InputError, SweepError, SweepStopped
from sweep.system.directory import SweepDirectory

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ControllerFailed(Exception):
    """A call of the controller has raised an exception.

    Args:
        kind: the kind of the exception.
        reason: one line that describes it.
        shown: the traceback for the user: from the user's code on, empty if no user code was called.
        details: the whole traceback.
    """

    def __init__(
        self, kind: Literal["disk_full", "input", "other"], reason: str, shown: str, details: str
    ) -> None:
        super().__init__(kind, reason, shown, details)  # an exception is pickled as its arguments
        self._kind, self._reason, self._shown, self._details = kind, reason, shown, details

    @classmethod
    def of(cls, error: BaseException) -> ControllerFailed:
        """Describe an exception that the controller has raised."""
        if isinstance(error, ControllerFailed):
            return error
        if isinstance(error, SweepError):  # its message is written for the user
            return cls("input" if isinstance(error, InputError) else "other", str(error), "", "")
        is_full = isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS
        details = "".join(traceback.format_exception(error))
        reason = str(error.strerror) if isinstance(error, OSError) and is_full else one_line(error)
        return cls("disk_full" if is_full else "other", reason, project_traceback(error), details)

    @property
    def is_disk_full(self) -> bool:
        return self._kind == "disk_full"

    def for_user(self, directory: SweepDirectory) -> SweepError:
        """The error for the user. The whole traceback is written to the sweep's `error.txt`."""
        if self._kind == "input":
            return InputError(self._reason)
        if self.is_disk_full:
            return SweepStopped(f"{self._reason}; nothing was recorded after that. {FREE_SPACE}")
        if not self._details:
            return SweepStopped(self._reason)
        lines = [self._reason, *self._shown.splitlines()]
        cause = "in your code, not in a trial" if self._shown else "not in a trial"
        lines.append(f"This error is {cause}, so the sweep has stopped. Nothing was recorded after it.")
        with suppress(OSError):
            directory.error.write_text(self._details, encoding="utf-8", errors="backslashreplace")
            lines.append(f"The whole traceback is in {directory.error}")
        return SweepStopped("\n".join(lines))


class ControllerGuard:
    """Calls a controller. After one call has failed, all other calls fail in the same way.

    So the sweep stops, even if the objective has caught the exception of a call that was made for its trial.

    Args:
        start: creates the controller.
    """

    def __init__(self, start: Callable[[], Controller]) -> None:
        self._controller: Controller | None = None
        self._failure: ControllerFailed | None = None
        try:
            self._controller = start()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code can raise anything
            self._failure = ControllerFailed.of(error)

    def call(
        self, method: Callable[Concatenate[Controller, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call a method of the controller.

        Raises:
            ControllerFailed: this call, an earlier one, or the creation of the controller has failed.
        """
        if self._failure is None:
            assert self._controller is not None
            try:
                return method(self._controller, *args, **kwargs)
            except BdbQuit:  # the user has quit the debugger in this process
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
                self._failure = ControllerFailed.of(error)
        raise self._failure

    def call_by_name(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its name, as `call` does."""
        return self.call(getattr(Controller, method), *args, **kwargs)
