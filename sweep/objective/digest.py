"""Detects whether an objective's code has changed since its sweep began."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from sweep.objective.find import ObjectiveReference
from sweep.objective.pickled_function import PickledFunction, underlying_function


def digest(objective: ObjectiveReference) -> str:
    """A fingerprint of the objective's own code, without the modules and files that it uses.

    Returns:
        the fingerprint; an empty string if the code is not available.
    """
    if isinstance(objective, PickledFunction):
        code = _code(objective.load())
        # Another version of Python compiles the same lines to other bytecode.
        return f"{sys.implementation.cache_tag}:{_hash(_content(code))}" if code is not None else ""
    if objective.file is None or not objective.file.is_file():
        return ""
    return f"file:{_hash(objective.file.read_bytes())}"


def differ(first: str, second: str) -> bool:
    """Whether two fingerprints show that the code has changed. They cannot for different Python versions."""
    return first != second and first.partition(":")[0] == second.partition(":")[0] != ""


def _code(function: Callable[..., Any]) -> CodeType | None:
    code = getattr(underlying_function(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _content(code: CodeType) -> bytes:
    """The bytecode, names and constants of some code. Its file and line numbers, which are in its pickle too,
    are left out: they change when the function is moved."""
    constants = [
        _content(constant) if isinstance(constant, CodeType) else _constant(constant)
        for constant in code.co_consts
    ]
    return b"\0".join([code.co_code, repr(code.co_names).encode(), *constants])


def _constant(constant: Any) -> bytes:
    if isinstance(constant, frozenset):  # its order depends on the process
        return repr(sorted(map(repr, constant))).encode()
    return repr(constant).encode(errors="surrogatepass")


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
