"""Custom samplers and pruners: `{type: "package.module:Class", any: option}`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, WithJsonSchema, model_serializer, model_validator

from sweep.errors import suggestion
from sweep.sweepfile.base import Model
from sweep.sweepfile.types import OrForms, PlainValue, invalid, short_repr

CUSTOM, BUILT_IN = "<custom>", "<built-in>"
"""Tags in the union of custom and built-in samplers or pruners."""

_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_OTHER_NAMES = {"bayes": "tpe", "bayesian": "tpe", "successive_halving": "asha"}
"""What samplers and pruners are called elsewhere."""
_CLASS_NAME = {"type": "string", "pattern": r"^\S+:\S+$"}


def is_custom(type_: Any) -> bool:
    """Whether a `type` names a class, and not a built-in sampler or pruner."""
    return isinstance(type_, str) and (":" in type_ or type_.endswith(".py"))


def check_class_name(text: str) -> None:
    """Ensure that `text` has the form `package.module:Class`."""
    module, _, name = text.partition(":")
    if not _CLASS.fullmatch(text) or module.endswith(".py"):
        hint = f"{module.removesuffix('.py').replace('/', '.')}:{name or 'Class'}"
        example = hint if _CLASS.fullmatch(hint) else "package.module:Class"
        raise invalid(f"{text!r} is not the name of a class; write {example}", key="type")


class CustomClass(Model):
    """A custom class. All keys but `type`, and `metric` of a pruner, are passed to it as options."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, PlainValue]

    type: Annotated[str, WithJsonSchema(_CLASS_NAME)]

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, raw: Any) -> Any:
        # The class itself decides which options are valid.
        if isinstance(raw, dict):
            for key in raw:
                if not isinstance(key, str) or not key.isidentifier():
                    raise invalid(f"{short_repr(key)} cannot be the name of an option", key=str(key))
        return raw

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the class."""
        return dict(self.model_extra or {})

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        # Options that are null are dumped too: null is a value to the class.
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in given.items() if value is not None} | self.options


def as_typed_mapping(raw: Any, types: Iterable[str]) -> Any:
    """Convert a short form of a sampler or pruner to a mapping, and check its `type`.

    Args:
        raw: a mapping with `type`; a string is short for `{type: string}`, None for `{type: none}`.
        types: the built-in types.
    """
    if raw is None:
        raw = "none"
    if isinstance(raw, str):
        raw = {"type": raw}
    if not isinstance(raw, dict):
        return raw
    types = list(types)
    if "type" not in raw:
        raise invalid("'type' is missing; possible: " + ", ".join(types))
    if not is_custom(raw["type"]) and raw["type"] not in types:
        known = _OTHER_NAMES.get(raw["type"]) if isinstance(raw["type"], str) else None
        hint = f"did you mean {known!r}?" if known in types else suggestion(raw["type"], types)
        raise invalid(f"unknown type {short_repr(raw['type'])}; {hint}", key="type")
    return raw


def custom_or_built_in(value: Any) -> str:
    """The tag of a sampler or pruner in the union of custom and built-in ones."""
    type_ = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return CUSTOM if is_custom(type_) else BUILT_IN


def models_by_type(union: Any) -> dict[str, Any]:
    """The models of a union, by the value of their `type`."""
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(union)}


def or_type_name(*names: str) -> OrForms:
    """The JSON Schema of a short form: only the `type` of a sampler or pruner that needs no options."""
    return OrForms({"enum": list(names)}, _CLASS_NAME)
