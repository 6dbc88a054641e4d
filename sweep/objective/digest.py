"""Whether an objective's code is still that with which its sweep began."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType, MethodType
from typing import Any

from sweep.objective.find import ObjectiveReference
from sweep.objective.function import FunctionReference
from sweep.objective.pickled_function import PickledFunction


def digest(objective: ObjectiveReference) -> str:
    """Stands for the objective's own code; not for what that imports, or finds in its surroundings.

    Returns:
        nothing if the code cannot be had.
    """
    if isinstance(objective, PickledFunction):
        code = _code(objective.load())
        # Another Python makes other bytes of the same lines.
        return f"{sys.implementation.cache_tag}:{_hash(_words(code))}" if code is not None else ""
    if isinstance(objective, FunctionReference):
        found = None if objective.source else importlib.util.find_spec(objective.module)
        file = objective.source or (found.origin if found is not None else None)
    else:
        file = None if objective.file is None else str(objective.file)
    if file is None or not Path(file).is_file():
        return ""
    return f"file:{_hash(Path(file).read_bytes())}"


def differ(one: str, other: str) -> bool:
    """Whether two digests say that the code has changed. Those of other Pythons say nothing about that."""
    return one != other and one.partition(":")[0] == other.partition(":")[0] != ""


def _code(function: Callable[..., Any]) -> CodeType | None:
    function = inspect.unwrap(function)
    while isinstance(function, (partial, MethodType)):
        function = inspect.unwrap(function.func if isinstance(function, partial) else function.__func__)
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _words(code: CodeType) -> bytes:
    """What the code does; not where it stands, by which the same functions differ when they are pickled."""
    constants = [_words(each) if isinstance(each, CodeType) else _word(each) for each in code.co_consts]
    return b"\0".join([code.co_code, repr(code.co_names).encode(), *constants])


def _word(constant: Any) -> bytes:
    if isinstance(constant, frozenset):  # their order is not the same in every process
        return repr(sorted(map(repr, constant))).encode()
    return repr(constant).encode(errors="surrogatepass")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
