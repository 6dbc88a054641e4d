"""Parameters of a search space: a constant, a choice among values, or a range of numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from sweep.errors import suggestion
from sweep.spec.base import Model
from sweep.spec.types import Flag, Number, Scalar, is_sound, mistake, show


class Constant(Model):
    """A parameter that every trial gets with the same value. A bare scalar in the file is one."""

    value: Any

    @model_validator(mode="after")
    def _check(self) -> Constant:
        _check_plain(self.value)
        return self


def _check_plain(value: Any) -> None:
    """See that a value is the same after a journey through YAML or JSON."""
    if isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise mistake(f"key {show(key)} has to be a word; put it in quotes", key="value")
            _check_plain(item)
    elif not isinstance(value, Scalar):
        raise mistake(f"{show(value)} is neither a number, a word, a list nor a mapping", key="value")
    elif not is_sound(value):
        raise mistake(f"{show(value)} cannot be used; give a finite number or a word", key="value")


class Choice(Model):
    """A parameter that takes one of `values`, which have no order between them."""

    values: list[Any]

    @model_validator(mode="after")
    def _check(self) -> Choice:
        if not self.values:
            raise mistake("is empty; give at least one value", key="values")
        for index, value in enumerate(self.values):
            if not isinstance(value, Scalar):
                raise mistake(
                    f"{show(value)} is no scalar; give numbers, words, true, false or null, "
                    "and let the objective look up what they stand for",
                    key="values",
                )
            if not is_sound(value):
                raise mistake(f"{show(value)} cannot be used; give finite numbers or words", key="values")
            # 1, 1.0 and true are equal in Python: Optuna could not tell them apart.
            if value in self.values[:index]:
                raise mistake(f"{show(value)} is there twice; write each value once", key="values")
        return self


_LARGEST_INT = 2**53
"""Samplers compute with floats, which tell whole numbers apart up to here."""


class Range(Model):
    """Numbers from `min` to `max`, both included: whole ones if both bounds are whole.

    `log` samples the logarithm uniformly; `step` keeps to `min`, `min + step`, and so on.
    """

    min: Number
    max: Number
    log: Flag = False
    step: Number | None = None

    @property
    def is_int(self) -> bool:
        return isinstance(self.min, int) and isinstance(self.max, int)

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.min > self.max:
            raise mistake(f"max {self.max} is below min {self.min}; swap them", key="max")
        if self.is_int and max(abs(self.min), abs(self.max)) > _LARGEST_INT:
            raise mistake("whole numbers reach to 2**53 (about 9e15) here; use floats", key="max")
        if self.log and self.min <= 0:
            raise mistake(
                f"log needs a min above 0, got {self.min}; "
                + ("use min: 1" if self.is_int else "use a small one such as 1e-6")
                + ", or leave log out",
                key="min",
            )
        if self.step is not None:
            self._check_step(self.step)
        return self

    def _check_step(self, step: int | float) -> None:
        if self.log:
            raise mistake("step and log exclude each other; leave one out", key="step")
        if step <= 0:
            raise mistake(f"must be greater than 0, got {step}", key="step")
        if self.is_int and not isinstance(step, int):
            raise mistake(
                f"{step} is not whole but min and max are; write min: {float(self.min)}, or a whole step",
                key="step",
            )
        if step > self.max - self.min:
            raise mistake(
                f"{step} is larger than the whole range ({self.min} to {self.max}); make it smaller",
                key="step",
            )


_FORMS: dict[str, type[Model]] = {"range": Range, "choice": Choice, "constant": Constant}
_KEYS = {key: form for form, model in _FORMS.items() for key in model.model_fields}


def _form(raw: Any) -> str | None:
    """Which form a raw parameter has, by its keys; a model built in Python by its class."""
    if isinstance(raw, Model):
        return next(form for form, model in _FORMS.items() if isinstance(raw, model))
    for key in ("values", "value", "min", "max", "log", "step"):
        if key in raw:
            return _KEYS[key]
    return None


def _normalise(raw: Any) -> Any:
    if isinstance(raw, Model):
        return raw
    if isinstance(raw, Scalar):
        return {"value": raw}
    if isinstance(raw, list):
        raise mistake(
            f"is a list; write {{values: {show(raw)}}} to search it, or {{value: {show(raw)}}} to pass it on"
        )
    if not isinstance(raw, dict):
        raise mistake(f"expected a parameter such as {{min: 0.0, max: 1.0}}, got {show(raw)}")
    form = _form(raw)
    if form is None:
        if not raw:
            raise mistake("is empty; give {min, max}, {values: [...]} or a value")
        key = next(iter(raw))
        raise mistake(f"unknown key; {suggestion(key, _KEYS)}", key=key)
    for key in raw:
        if key in _KEYS and key not in _FORMS[form].model_fields:
            raise mistake(f"{key!r} does not go with {form_key(form)}; leave one out", key=key)
    return raw


def form_key(form: str) -> str:
    """How a message names a form: by the key that makes it."""
    return {"range": "'min' and 'max'", "choice": "'values'", "constant": "'value'"}[form]


Parameter = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choice, Tag("choice")] | Annotated[Constant, Tag("constant")],
    Discriminator(_form),
    BeforeValidator(_normalise),
]
