"""Formats tracebacks for the author of an objective, without the frames of this package."""

from __future__ import annotations

import importlib
import os
import traceback
from types import TracebackType

from sweep.objective.result import BadResultError
from sweep.script.errors import ScriptError
from sweep.system.libraries import is_library
from sweep.trial.scalars import BadNumberError

_OWN_CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IMPORTLIB = os.path.dirname(os.path.abspath(importlib.__file__)) + os.sep
_NOT_USER_CODE = (_OWN_CODE, _IMPORTLIB, "<frozen importlib")
_SELF_EXPLANATORY = (SyntaxError, BadNumberError, BadResultError, KeyboardInterrupt)
"""Exceptions for which it does not help the user where in this package they were raised.

A KeyboardInterrupt can be raised in any line, for example while the objective prints.
"""


def user_traceback(error: BaseException) -> str:
    """Format a traceback that begins with the user's code, without the frames of this package before it.

    The same applies to causes and contexts, and to the members of an exception group.
    """
    if isinstance(error, ScriptError):
        return _encodable("\n".join(filter(None, [error.output_tail, str(error), ""])))
    formatted = traceback.TracebackException.from_exception(error)
    _remove_own_frames(formatted, set())
    return _encodable("".join(formatted.format()))


def project_traceback(error: BaseException) -> str:
    """Format a traceback that begins with code that is neither of this package nor of an installed library.

    Empty if there is no such code.
    """
    formatted = traceback.TracebackException.from_exception(error)
    is_user = [not is_library(frame.filename) for frame in formatted.stack]
    if not any(is_user):
        return ""
    del formatted.stack[: is_user.index(True)]
    return _encodable("".join(formatted.format()))


def user_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the user's code on. None if no user code was called."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_NOT_USER_CODE):
        trace = trace.tb_next
    return trace


def one_line(error: BaseException) -> str:
    """Describe an exception in one line of at most 300 characters."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - __str__ may be user code
        lines = []
    name = type(error).__name__
    text = lines[0] if isinstance(error, ScriptError) and lines else f"{name}: {lines[0]}" if lines else name
    return _encodable(text if len(text) <= 300 else text[:297] + "...")


def _encodable(text: str) -> str:
    """Escape lone surrogates, as in file names that are not UTF-8: such text cannot be written to a file."""
    return text.encode("utf-8", "backslashreplace").decode()


def _remove_own_frames(error: traceback.TracebackException, seen: set[int]) -> None:
    if id(error) in seen:
        return
    seen.add(id(error))
    is_user = [not frame.filename.startswith(_NOT_USER_CODE) for frame in error.stack]
    if issubclass(error.exc_type or Exception, _SELF_EXPLANATORY):
        error.stack[:] = [frame for frame, is_kept in zip(error.stack, is_user, strict=True) if is_kept]
    elif any(is_user):  # otherwise the bug may be in this package, and its frames are all that is known
        del error.stack[: is_user.index(True)]
    for other in (error.__cause__, error.__context__, *(getattr(error, "exceptions", None) or ())):
        if other is not None:
            _remove_own_frames(other, seen)
