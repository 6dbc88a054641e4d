"""The entries of a sweep file about a Ray cluster: `runtime_env`, custom resources and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from sweep.sweepfile.types import NonEmptyStr, PlainValue, PositiveNumber, Scalar, invalid, short_repr

_OWN_KEYS = {"CPU": "cpu", "GPU": "gpu", "memory": None, "object_store_memory": None}
"""Ray's names of resources that are not custom, and the keys of `resources` for them."""


def _resource_name(name: str) -> str:
    for known, key in _OWN_KEYS.items():
        if name.lower() == known.lower():
            instead = f"write resources: {{{key}: 1}}" if key else "leave it out"
            raise invalid(f"{name} is not a custom resource; {instead}")
    return name


def _whole_or_share(amount: Any) -> Any:
    if amount > 1 and amount != int(amount):
        raise invalid(f"{amount} is neither a share of one (up to 1) nor a whole number")
    return amount


CustomResources = dict[
    Annotated[NonEmptyStr, AfterValidator(_resource_name)],
    Annotated[PositiveNumber, AfterValidator(_whole_or_share)],
]
"""Amounts of resources that machines have been given with `ray start --resources`."""

_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9.\-]{{1,253}}/)?{_NAME}")
_SELECTOR = re.compile(rf"!?({_NAME}|in\({_NAME}(, ?{_NAME})*\))")


def _label(key: Any) -> Any:
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise invalid(f"{short_repr(key)} cannot be the key of a label; write for example region")
    return key


def _selector(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        value = f"in({', '.join(value)})"
    if isinstance(value, bool):
        value = str(value).lower()  # true, as in the file
    text = str(value)
    if value is None or not isinstance(value, Scalar) or not _SELECTOR.fullmatch(text):
        raise invalid(
            f'expected a value such as us, "!us", or a list such as [us, eu], got {short_repr(value)}'
        )
    return text


Labels = dict[
    Annotated[str, BeforeValidator(_label)],
    Annotated[
        str,
        BeforeValidator(_selector),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": ["boolean", "number"]},
                    {"type": "string", "pattern": f"^{_SELECTOR.pattern}$"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1},
                ]
            }
        ),
    ],
]
"""Labels that a machine must have, in the form of Ray's label selectors."""


def _runtime_env(raw: Any) -> Any:
    if not isinstance(raw, dict):
        raise invalid(f"expected a mapping such as {{pip: [scikit-learn]}}, got {short_repr(raw)}")
    return raw


RuntimeEnv = Annotated[dict[NonEmptyStr, PlainValue], BeforeValidator(_runtime_env)]
"""Ray's runtime environment of the workers. Ray checks what it contains."""


def matches(labels: Mapping[str, str], selectors: Mapping[str, str]) -> bool:
    """Whether a machine with these labels is one that the selectors select, as Ray does."""
    return all(_selects(selector, labels.get(key)) for key, selector in selectors.items())


def _selects(selector: str, value: str | None) -> bool:
    text = selector.removeprefix("!")
    listed = text.startswith("in(") and text.endswith(")")
    values = [item.strip() for item in text[3:-1].split(",")] if listed else [text]
    return (value in values) != selector.startswith("!")
