"""Types of scalar values in a sweep file, with their error messages and JSON Schemas."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    StrictBool,
    StrictStr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError

from sweep.errors import InputError
from sweep.system.paths import expand_home

Scalar = None | bool | int | float | str


def invalid(message: str, key: str | int | tuple[str | int, ...] | None = None) -> PydanticCustomError:
    """Create a validation error with a message for the user.

    Args:
        message: what is wrong, and what to write instead.
        key: the invalid entry below the validated one; a tuple is a path of keys.
    """
    return PydanticCustomError("invalid", "{message}", {"message": message, "key": key})


class OrForms:
    """Adds further forms to the JSON Schema of a type, which a validator converts to that type.

    pydantic's `json_schema_input_type` would need the type a second time, and would build it twice at import.

    Args:
        forms: JSON Schemas.
    """

    def __init__(self, *forms: dict[str, Any]) -> None:
        self._forms = forms

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [*self._forms, handler(schema)]}


def short_repr(value: Any) -> str:
    """The `repr` of a value, shortened to fit into a one-line message."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to convert integers of thousands of digits
        text = "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def python_literal(value: Any) -> str:
    """Plain data as Python code with double quotes, shortened as in `short_repr`."""
    return short_repr(value).replace("'", '"')


_LARGEST = 1e150
"""Larger numbers are mistakes, and their squares and differences exceed the range of floats."""
_LARGEST_INTEGER = 2**63 - 1


def same_value(a: Any, b: Any) -> bool:
    """Whether two values are equal in a sweep file: 1 equals 1.0, but not `true`, at any depth."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(value, b[key]) for key, value in a.items())
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def is_valid_scalar(value: Any) -> bool:
    """Whether a number is finite and not huge, or a string can be encoded."""
    if isinstance(value, str):
        return all(not 0xD800 <= ord(letter) <= 0xDFFF for letter in value)
    return not isinstance(value, (int, float)) or -_LARGEST <= value <= _LARGEST


def check_unique(
    values: Sequence[Any], key: str | tuple[str | int, ...] | None = None, distinguishes_bools: bool = False
) -> None:
    """Ensure that no value is equal to another one.

    Args:
        values: the values.
        key: the entry below the validated one, for the error.
        distinguishes_bools: whether true and 1 are different. In Python, and so in Optuna, they are equal.
    """
    seen: set[Any] = set()
    for index, value in enumerate(values):
        if isinstance(value, Scalar):
            identity = (isinstance(value, bool), value) if distinguishes_bools else value
            is_duplicate = identity in seen
            seen.add(identity)
        else:
            is_same = same_value if distinguishes_bools else operator.eq
            is_duplicate = any(is_same(value, other) for other in values[:index])
        if is_duplicate:
            raise invalid(f"{short_repr(value)} is a duplicate; leave one out", key=key)


def as_list(value: Any) -> Any:
    """Convert a string, the short form of a list of one string, to that list."""
    return [value] if isinstance(value, str) else value


def check_plain(value: Any) -> Any:
    """Ensure that YAML and JSON preserve a value: it consists of lists, mappings and valid scalars."""
    if isinstance(value, list):
        for item in value:
            check_plain(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise invalid(f"key {short_repr(name)} must be a string; put it in quotes")
            check_plain(item)
    else:
        _scalar(value)
    return value


def _scalar(value: Any) -> Any:
    if not isinstance(value, Scalar) or not is_valid_scalar(value):
        raise invalid(f"{short_repr(value)} cannot be used; give a finite number or a string")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid(f"expected a number, got {short_repr(value)}")
    if not is_valid_scalar(value):
        kind = "smaller" if isinstance(value, int) or math.isfinite(value) else "finite"
        raise invalid(f"expected a {kind} number, got {short_repr(value)}")
    return value


def as_integer(value: Any) -> Any:
    """Ensure that a value is a whole number, and convert it to int: 1e3 becomes 1000."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"expected a whole number, got {short_repr(value)}")
    if abs(value) > _LARGEST_INTEGER:
        raise invalid(f"expected a smaller number, got {short_repr(value)}")
    return value


AUTO = "auto"


def _gpus(value: Any) -> Any:
    if value == AUTO:
        return value
    if _number(value) < 0:
        raise invalid(f"must be at least 0, got {short_repr(value)}")
    if value > 1 and value != int(value):
        raise invalid(f"{value} is neither a share of one GPU (up to 1) nor a whole number of GPUs")
    return value


UNLIMITED = "unlimited"


def _count_or_unlimited(value: Any) -> Any:
    if value == UNLIMITED:
        return value
    count = 0 if isinstance(value, str) else as_integer(value)
    if count < 1:
        raise invalid(f"expected a whole number of at least 1, or unlimited, got {short_repr(value)}")
    return count


def _stripped(value: str) -> str:
    if value != value.strip():
        raise invalid(f"{value!r} begins or ends with white space; write {value.strip()!r}")
    return value


_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"


def is_directory_name(text: str) -> bool:
    """Whether a text can be the name of a sweep, and so of its directory."""
    return len(text) <= 100 and re.fullmatch(_NAME, text) is not None


def as_directory_name(text: str) -> str:
    """The name of a sweep that is derived from any text."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", text).strip("-.")[:100] or "sweep"


def _directory_name(value: Any) -> Any:
    if not isinstance(value, str):
        raise invalid(f"expected a name, got {short_repr(value)}; put it in quotes")
    if not is_directory_name(value):
        raise invalid(
            f"{short_repr(value)} cannot name a sweep; use at most 100 letters, digits, '-', '_' and '.', "
            "not beginning with '.' or '-'"
        )
    return value


_DURATION = r"(\d+(?:\.\d+)?)\s*(s|m|h|d)"
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_SCHEMA = {"type": "string", "pattern": rf"^\s*{_DURATION}\s*$"}


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(_DURATION, value.strip())
        if match is None:
            raise invalid(f"expected a duration such as 90s, 30m, 12h or 2d, got {short_repr(value)}")
        value = float(match[1]) * _SECONDS[match[2]]
    if _number(value) < 0:
        raise invalid(f"must be at least 0, got {short_repr(value)}")
    return value


def _dump_number(value: float) -> float | int:
    """Whole seconds are written without a fraction."""
    return int(value) if float(value).is_integer() else value


# pydantic writes a constraint such as `gt` correctly only for a plain int or float: hence `WithJsonSchema`.
Number = Annotated[int | float, BeforeValidator(_number), WithJsonSchema({"type": "number"})]
PositiveNumber = Annotated[
    int | float,
    BeforeValidator(_number),
    Field(gt=0),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0}),
]
NonNegativeNumber = Annotated[
    int | float, BeforeValidator(_number), Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})
]
Probability = Annotated[
    int | float,
    BeforeValidator(_number),
    Field(ge=0, le=1),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
PositiveInteger = Annotated[PositiveInt, BeforeValidator(as_integer)]
PositiveIntegerOrUnlimited = Annotated[
    int | Literal["unlimited"],
    BeforeValidator(_count_or_unlimited),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"const": UNLIMITED}]}),
]
GpusOrAuto = Annotated[
    int | float | Literal["auto"],
    BeforeValidator(_gpus),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"const": AUTO}]}),
]
"""A share of one GPU, a whole number of them, or `auto`."""
NonNegativeInteger = Annotated[NonNegativeInt, BeforeValidator(as_integer)]
Flag = StrictBool
SCALAR_SCHEMA = {"type": ["null", "boolean", "number", "string"]}
ScalarValue = Annotated[Any, AfterValidator(_scalar), WithJsonSchema(SCALAR_SCHEMA)]
PlainValue = Annotated[Any, AfterValidator(check_plain)]
STRIPPED = r"^\S([\s\S]*\S)?$"
NonEmptyStr = Annotated[
    StrictStr,
    Field(min_length=1),
    AfterValidator(_stripped),
    WithJsonSchema({"type": "string", "pattern": STRIPPED}),
]


def _expanded(expand: Callable[[str], str], text: str) -> str:
    try:
        return expand(text)
    except InputError as error:
        raise invalid(str(error)) from None


def expanding(expand: Callable[[str], str]) -> AfterValidator:
    """A validator that expands `~` in a string with a function of `system.paths`."""
    return AfterValidator(partial(_expanded, expand))


PathText = Annotated[NonEmptyStr, expanding(expand_home)]
"""A path, in which `~` is expanded."""
DirectoryName = Annotated[
    str,
    BeforeValidator(_directory_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME}$", "maxLength": 100}),
]
Seconds = Annotated[
    float,
    Field(gt=0),
    BeforeValidator(_seconds),
    OrForms(_DURATION_SCHEMA),
    PlainSerializer(_dump_number),
]
"""A duration: a number of seconds, or a number with its unit: 90s, 30m, 12h, 2d."""
Delay = Annotated[
    float,
    Field(ge=0),
    BeforeValidator(_seconds),
    OrForms(_DURATION_SCHEMA),
    PlainSerializer(_dump_number),
]
"""A duration that can be 0."""


def read_delay(value: Any, option: str) -> float:
    """Read a duration that can be 0, in seconds.

    Args:
        value: a number of seconds, or a number with its unit.
        option: the name of the option or argument, for the message.

    Raises:
        InputError: the value is not a duration.
    """
    try:
        return TypeAdapter(Delay).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{option}: {error.errors()[0]['msg']}") from None
