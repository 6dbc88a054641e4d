"""The kinds of value that keys of a sweep file take, each with an error a person understands."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from sweep.errors import InputError

Scalar = None | bool | int | float | str


def invalid(message: str, key: str | int | tuple[str | int, ...] | None = None) -> PydanticCustomError:
    """A validation error with our own words. `key` names the entry below the validated one to point at; or
    several, each below the one before."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "key": key})


def show(value: Any) -> str:
    """A value as it may appear in a one-line message."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write whole numbers of thousands of digits
        text = "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


_LARGEST = 1e150
"""Larger numbers are mistakes, and their squares and differences leave the range of floats."""


_LARGEST_INTEGER = 2**63 - 1


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same in a sweep file: `true` and 1 are not, 1 and 1.0 are."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def is_sound(value: Any) -> bool:
    """Whether a scalar can be computed with and written down: finite, not huge, and encodable text."""
    if isinstance(value, str):
        return all(not 0xD800 <= ord(letter) <= 0xDFFF for letter in value)
    return not isinstance(value, (int, float)) or -_LARGEST <= value <= _LARGEST


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid(f"expected a number, got {show(value)}")
    if not is_sound(value):
        kind = "smaller" if isinstance(value, int) or math.isfinite(value) else "finite"
        raise invalid(f"expected a {kind} number, got {show(value)}")
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e3 is how people write 1000
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"expected a whole number, got {show(value)}")
    if abs(value) > _LARGEST_INTEGER:
        raise invalid(f"expected a smaller number, got {show(value)}")
    return value


def _positive(value: Any) -> Any:
    if value <= 0:
        raise invalid(f"must be greater than 0, got {show(value)}")
    return value


def _not_negative(value: Any) -> Any:
    if value < 0:
        raise invalid(f"must not be negative, got {show(value)}")
    return value


def _flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise invalid(f"expected true or false, got {show(value)}")
    return value


def _non_empty(value: Any) -> Any:
    if not isinstance(value, str):
        raise invalid(f"expected a word, got {show(value)}")
    if not value:
        raise invalid("is empty; write a word")
    if value != value.strip():
        raise invalid(f"{value!r} has blanks at its ends; write {value.strip()!r}")
    return value


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


def _directory_name(value: Any) -> Any:
    if not isinstance(value, str):
        raise invalid(f"expected a name, got {show(value)}; put it in quotes")
    if not _NAME.fullmatch(value) or len(value) > 100:
        raise invalid(
            f"{show(value)} cannot name a sweep; use at most 100 letters, digits, '-', '_' and '.', "
            "not beginning with '.' or '-'"
        )
    return value


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(value: Any) -> Any:
    return _positive(_delay(value))


def _delay(value: Any) -> Any:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise invalid(f"expected a duration such as 90s, 30m, 12h or 2d, got {show(value)}")
        value = float(found[1]) * _SECONDS[found[2]]
    return _not_negative(_number(value))


def _dump_number(value: float) -> float | int:
    """Whole seconds are written without a fraction."""
    return int(value) if float(value).is_integer() else value


Number = Annotated[int | float, BeforeValidator(_number)]
PositiveNumber = Annotated[int | float, BeforeValidator(_number), AfterValidator(_positive)]
NonNegativeNumber = Annotated[int | float, BeforeValidator(_number), AfterValidator(_not_negative)]
Integer = Annotated[int, BeforeValidator(_integer)]
PositiveInteger = Annotated[int, BeforeValidator(_integer), AfterValidator(_positive)]
NonNegativeInteger = Annotated[int, BeforeValidator(_integer), AfterValidator(_not_negative)]
Flag = Annotated[bool, BeforeValidator(_flag)]
NonEmptyStr = Annotated[str, BeforeValidator(_non_empty)]
DirectoryName = Annotated[str, BeforeValidator(_directory_name)]
Seconds = Annotated[float, BeforeValidator(_duration), PlainSerializer(_dump_number)]
"""A duration: a number of seconds, or a number with its unit: 90s, 30m, 12h, 2d."""
Delay = Annotated[float, BeforeValidator(_delay), PlainSerializer(_dump_number)]
"""A duration that may be 0."""


def read_delay(value: Any, what: str) -> float:
    """A duration that may be 0, in seconds.

    Args:
        value: a number of seconds, or a number with its unit.
        what: what it is called where it was given.

    Raises:
        InputError: it is none.
    """
    try:
        return TypeAdapter(Delay).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{what}: {error.errors()[0]['msg']}") from None
