"""Values in W&B's sweep files, and the error about an invalid one."""

from __future__ import annotations

import math
import re
from typing import Any

from sweep.sweepfile.types import is_valid_scalar, short_repr
from sweep.sweepfile.yaml import Path


class WandbFileError(ValueError):
    """An entry of a W&B file is invalid, and W&B would reject it too.

    Args:
        path: the path to the entry.
        message: what is wrong and what to write instead.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def join_names(names: list[str]) -> str:
    """Names as an English list: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def plain(value: Any) -> Any:
    """A value as W&B's service returns it: `1e-5` is a number, a float without a fraction an integer."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def number(value: Any, path: Path) -> int | float:
    """Convert a value to a finite number, which is not huge.

    Raises:
        WandbFileError: the value is not such a number.
    """
    result = plain(value)
    if isinstance(result, bool) or not isinstance(result, (int, float)):
        raise WandbFileError(path, f"expected a number, got {short_repr(value)}")
    if not is_valid_scalar(result):
        kind = "smaller" if isinstance(result, int) or math.isfinite(result) else "finite"
        raise WandbFileError(path, f"expected a {kind} number, got {short_repr(value)}")
    return result
