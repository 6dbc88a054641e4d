"""Samplers and pruners of one's own: `{type: "package.module:Class", any: option}`."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ConfigDict, model_serializer, model_validator

from sweep.sweepfile.base import Model
from sweep.sweepfile.types import invalid, is_sound, show

TAG = "class"
"""Stands for all of them where a union of models is told apart by `type`."""

_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_custom(type_: Any) -> bool:
    """Whether a `type` names a class and not something that is built in."""
    return isinstance(type_, str) and (":" in type_ or type_.endswith(".py"))


def check_class_name(text: str) -> None:
    """See that `text` has the form `package.module:Class`."""
    place, _, name = text.partition(":")
    if _CLASS.fullmatch(text) and not place.endswith(".py"):
        return
    module = place.removesuffix(".py").replace("/", ".").strip(".") or "package.module"
    hint = f"{module}:{name or 'Class'}"
    example = hint if _CLASS.fullmatch(hint) else "package.module:Class"
    raise invalid(f"{text!r} names no class; write {example}", key="type")


class CustomClass(Model):
    """A class of one's own, made with all further keys as its options."""

    model_config = ConfigDict(extra="allow")

    type: str

    @model_validator(mode="before")
    @classmethod
    def _know_all_keys(cls, raw: Any) -> Any:
        # Which keys there are is the class's affair.
        if isinstance(raw, dict):
            for key, value in raw.items():
                if not isinstance(key, str) or not key.isidentifier():
                    raise invalid(f"{show(key)} cannot be an option's name", key=str(key))
                if not _is_plain(value):
                    raise invalid(f"expected plain data (numbers, words, lists), got {show(value)}", key=key)
        return raw

    @property
    def options(self) -> dict[str, Any]:
        """What the class is made with."""
        return dict(self.model_extra or {})

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        # Options are kept as they are: null is a value to them.
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in given.items() if value is not None} | self.options


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or (isinstance(value, bool | int | float | str) and is_sound(value))
