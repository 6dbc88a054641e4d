"""What all models of the sweep file have in common."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationInfo, model_validator

from sweep.errors import suggestion
from sweep.sweepfile.foreign_keys import instead
from sweep.sweepfile.types import invalid


def file_keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model as a sweep file writes them: Python has words that no field can be named by."""
    return [field.serialization_alias or name for name, field in model.model_fields.items()]


class Model(BaseModel):
    """Frozen, and strict about its keys: an unknown one is a mistake, never ignored.

    The context of a validation is None for a file; for a call in Python, `instead` says what it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _know_all_keys(cls, raw: Any, info: ValidationInfo) -> Any:
        # Before pydantic's own check: what is missing often only follows from what is misspelt.
        if isinstance(raw, dict):
            aliases = {
                str(alias)
                for field in cls.model_fields.values()
                if isinstance(field.validation_alias, AliasChoices)
                for alias in field.validation_alias.choices
            }
            keys = file_keys(cls)
            for key in raw:
                if key not in keys and key not in aliases and key not in cls.model_fields:
                    message = instead(cls.__name__, key, raw, info.context) or cls._unknown(key, raw)
                    raise invalid(message, key=key if isinstance(key, int) else str(key))
                if key in aliases - set(keys) and str(key).removeprefix("n_") in raw:
                    raise invalid(f"is the same as {str(key).removeprefix('n_')!r}; leave one out", key=key)
        return raw

    @classmethod
    def _unknown(cls, key: Any, raw: dict[Any, Any]) -> str:
        return f"unknown key; {suggestion(key, file_keys(cls))}"


def options(model: BaseModel, *without: str) -> dict[str, Any]:
    """What a model says, by Optuna's names; None is left out, and so are `type` and `without`."""
    found = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is not None and name not in ("type", *without):
            alias = field.validation_alias
            found[str(alias.choices[-1]) if isinstance(alias, AliasChoices) else name] = value
    return found
