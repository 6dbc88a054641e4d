"""What an exception says to the author of the code that raised it: the traceback of that code only."""

from __future__ import annotations

import importlib
import os
import traceback
from types import TracebackType

from sweep.objective.result import BadResultError
from sweep.script.errors import ScriptError
from sweep.trial.scalars import BadNumberError

_OWN_CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IMPORTLIB = os.path.dirname(os.path.abspath(importlib.__file__)) + os.sep
_NOT_THEIRS = (_OWN_CODE, _IMPORTLIB, "<frozen importlib")
_NEED_NO_PLACE = (SyntaxError, BadNumberError, BadResultError)
"""What they say is all there is to say: where in this package they were raised is of no use."""


def user_traceback(error: BaseException) -> str:
    """The traceback from the user's code on, without the frames of this package and of importlib above it.

    The same holds for the exceptions it was raised from, and for those in a group.
    """
    if isinstance(error, ScriptError):  # where in this package it was raised says nothing
        return _writable("\n".join(filter(None, [error.output_tail, str(error), ""])))
    found = traceback.TracebackException.from_exception(error)
    _cut(found, set())
    return _writable("".join(found.format()))


def user_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the user's code on; None if it never came to that."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_NOT_THEIRS):
        trace = trace.tb_next
    return trace


def one_line(error: BaseException) -> str:
    """The exception in a line of at most 300 characters."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - its __str__ is user code too
        lines = []
    name = type(error).__name__
    text = lines[0] if isinstance(error, ScriptError) and lines else f"{name}: {lines[0]}" if lines else name
    return _writable(text if len(text) <= 300 else text[:297] + "...")


def _writable(text: str) -> str:
    """The same without half characters, as in names of files that are no UTF-8: no file takes them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _cut(found: traceback.TracebackException, seen: set[int]) -> None:
    if id(found) in seen:
        return
    seen.add(id(found))
    theirs = [not frame.filename.startswith(_NOT_THEIRS) for frame in found.stack]
    if issubclass(found.exc_type or Exception, _NEED_NO_PLACE):
        found.stack[:] = [frame for frame, is_theirs in zip(found.stack, theirs, strict=True) if is_theirs]
    elif any(theirs):  # where there are frames of ours only the mistake may be ours: they are what is known
        del found.stack[: theirs.index(True)]
    inner = [found.__cause__, found.__context__, *(getattr(found, "exceptions", None) or ())]
    for other in inner:
        if other is not None:
            _cut(other, seen)
