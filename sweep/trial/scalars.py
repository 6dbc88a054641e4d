"""What counts as a number and as a step, whoever says it. Cheap to import, for `sweep.report`."""

from __future__ import annotations

import math
from typing import Any

STEPS = 2**31
"""TensorBoard's HParams tab answers HTTP 500 from this step on."""


class BadNumberError(ValueError):
    """A value is no number, or a step is none."""


def as_number(value: Any, what: str) -> float:
    """A Python, numpy or 0-dimensional tensor number as a float.

    Args:
        value: the number.
        what: it is, for the message.

    Raises:
        BadNumberError: it is none, or none that a float can hold.
    """
    if isinstance(value, (str, bytes)):
        raise BadNumberError(f"{what} is {_short(value)}; it has to be a number")
    if hasattr(value, "detach"):
        value = value.detach()  # a loss as it is: torch would warn that its gradient is lost
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise BadNumberError(f"{what} is {_short(value)}; it has to be a number") from error


def as_step(step: Any, end: float = STEPS) -> int:
    """A step as an int.

    Args:
        step: any whole number from 0, a float or a tensor too.
        end: the first one that is too high; `math.inf` if none is.

    Raises:
        BadNumberError: it is something else.
    """
    try:
        number = as_number(step, "step")
    except BadNumberError:
        number = math.nan
    if isinstance(step, bool) or not 0 <= number < end or number != int(number):
        reach = "from 0" if end == math.inf else f"from 0 to {end - 1}"
        raise BadNumberError(f"step is {_short(step)}; it has to be a whole number {reach}")
    return int(number)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
