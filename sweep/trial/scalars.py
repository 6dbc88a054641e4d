"""Validation of reported numbers and steps. Cheap to import, for `sweep.report`."""

from __future__ import annotations

import math
from typing import Any

STEPS = 2**31
"""TensorBoard's HParams tab answers HTTP 500 from this step on."""


class BadNumberError(ValueError):
    """A reported value is not a number, or a step is invalid."""


def as_number(value: Any, what: str) -> float:
    """Convert a number of Python or numpy, or an array or tensor with one element, to a float.

    Args:
        value: the number.
        what: the name of the value, for the message.

    Raises:
        BadNumberError: it is not a number, or too large for a float.
    """
    if isinstance(value, (str, bytes)):
        raise BadNumberError(f"{what} is {_short(value)}; it must be a number")
    if hasattr(value, "detach"):
        value = value.detach()  # torch warns if a tensor that requires a gradient is converted
    try:
        if getattr(value, "size", None) == 1 and getattr(value, "ndim", 0) and value.dtype.kind in "biuf":
            return float(value.item())  # float() of an array with a dimension fails, or warns in older NumPy
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise BadNumberError(f"{what} is {_short(value)}; it must be a number") from error


def as_step(step: Any, end: float = STEPS) -> int:
    """Convert a step to an int.

    Args:
        step: a whole number from 0, also as a float or a tensor.
        end: the first step that is too high; `math.inf` for no limit.

    Raises:
        BadNumberError: the step is not a whole number in this range.
    """
    try:
        number = as_number(step, "step")
    except BadNumberError:
        number = math.nan
    if isinstance(step, bool) or not 0 <= number < end or number != int(number):
        reach = "from 0" if end == math.inf else f"from 0 to {end - 1}"
        raise BadNumberError(f"step is {_short(step)}; it must be a whole number {reach}")
    return int(number)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
