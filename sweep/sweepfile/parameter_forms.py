"""Recognises the form of a parameter in the sweep file: range, choice, constant, distribution or group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from sweep.sweepfile.base import Model, file_keys
from sweep.sweepfile.foreign_keys import parameter_key_error
from sweep.sweepfile.parameters import (
    Choice,
    Conditional,
    Constant,
    Distribution,
    Range,
    check_distribution_name,
)
from sweep.sweepfile.types import SCALAR_SCHEMA, STRIPPED, OrForms, Scalar, invalid, short_repr


def _check_names(raw: Any) -> Any:
    if isinstance(raw, dict):
        if not raw:
            raise invalid("is empty; give at least one, for example lr: {min: 1e-4, max: 1e-1, log: true}")
        for name in raw:
            if not isinstance(name, str) or not name or name != name.strip():
                raise invalid(f"{short_repr(name)} cannot name a parameter; put a string in quotes", key=name)
            if name.endswith(":u"):  # reserved for the variables that Optuna samples for some parameters
                raise invalid(
                    f"{short_repr(name)} cannot name a parameter, because it ends with ':u'; rename it",
                    key=name,
                )
    return raw


class Group(Conditional):
    """Parameters under a common name: `sgd` with `parameters: {momentum: ...}` has `sgd.momentum`. Its `when`
    applies to all of them."""

    parameters: NamedParameters


_MODELS: dict[str, type[Conditional]] = {
    "parameters": Group,
    "distribution": Distribution,
    "values": Choice,
    "value": Constant,
    "min": Range,
    "max": Range,
    "log": Range,
    "step": Range,
    "or": Range,
    "probabilities": Choice,
}
"""The first of these keys that a parameter has decides its form."""
_KEYS = list(dict.fromkeys(key for model in _MODELS.values() for key in file_keys(model)))


def _deciding_key(raw: Any) -> str | None:
    return next((key for key in _MODELS if key in raw), None)


def _looks_like_range(raw: list[Any]) -> bool:
    is_pair = len(raw) == 2 and all(isinstance(end, int | float) and not isinstance(end, bool) for end in raw)
    return is_pair and raw[0] < raw[1]


def _as_mapping(raw: Any) -> Any:
    if isinstance(raw, Model):
        return raw
    if isinstance(raw, Scalar):
        return {"value": raw}
    if isinstance(raw, list):
        text = short_repr(raw)
        forms = f"{{values: {text}}} to search over it, or {{value: {text}}} to pass it on"
        if _looks_like_range(raw):
            forms = f"{{min: {raw[0]}, max: {raw[1]}}} for a range, {forms}"
        raise invalid(f"is a list; write {forms}")
    if not isinstance(raw, dict):
        raise invalid(f"expected a parameter such as {{min: 0.0, max: 1.0}}, got {short_repr(raw)}")
    deciding = _deciding_key(raw)
    if deciding is None:
        if not raw:
            raise invalid("is empty; give {min, max}, {values: [...]} or a value")
        key = next((key for key in raw if key not in _KEYS), None)
        if key is not None:
            raise invalid(parameter_key_error(key, raw, _KEYS), key=key)
        if "mu" in raw or "sigma" in raw:
            raise invalid("has no distribution; add distribution: normal, or log_normal, to mu and sigma")
        raise invalid("has no values; give {min, max}, {values: [...]} or a value")
    if deciding == "distribution":
        # Checked first: W&B's distributions have keys that the check below would reject.
        check_distribution_name(raw["distribution"], "distribution")
    keys = file_keys(_MODELS[deciding])
    for key in raw:
        if key in _KEYS and key not in keys:
            raise invalid(f"{key!r} cannot be combined with {deciding!r}; leave one out", key=key)
    return raw


def _tag(raw: Any) -> str:
    # In brackets: pydantic puts the tag into an error's path, where it must not look like a key.
    model = type(raw) if isinstance(raw, Model) else _MODELS[_deciding_key(raw) or "value"]
    return f"<{model.__name__}>"


Parameter = Annotated[
    Annotated[Range, Tag("<Range>")]
    | Annotated[Choice, Tag("<Choice>")]
    | Annotated[Constant, Tag("<Constant>")]
    | Annotated[Distribution, Tag("<Distribution>")]
    | Annotated[Group, Tag("<Group>")],
    Discriminator(_tag),
    BeforeValidator(_as_mapping),
    OrForms(SCALAR_SCHEMA),
]
NamedParameters = Annotated[
    dict[str, Parameter],
    Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": STRIPPED}}),
    BeforeValidator(_check_names),
]

Group.model_rebuild()


def dump_parameters(parameters: Iterable[tuple[str, Parameter]]) -> dict[str, Any]:
    """Parameters as in a sweep file."""
    return {name: parameter.model_dump(exclude_unset=True) for name, parameter in parameters}
