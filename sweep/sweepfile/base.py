"""The base class of all models of the sweep file."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from sweep.errors import suggestion
from sweep.sweepfile.foreign_keys import foreign_key_hint
from sweep.sweepfile.types import invalid


def optuna_alias(name: str) -> Any:
    """A field that Optuna calls `n_{name}`: both names are accepted."""
    return Field(validation_alias=AliasChoices(name, f"n_{name}"))


def require_one_of(*groups: tuple[str, ...]) -> dict[str, Any]:
    """A JSON Schema addition for a model: at least one key of each group is required."""
    return {"allOf": [{"anyOf": [{"required": [key]} for key in keys]} for keys in groups]}


def field_aliases(field: Any) -> list[str]:
    """All keys that a sweep file can use for a field with several names."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []


def file_keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model in a sweep file; `or` is a keyword of Python, so its field has another name."""
    return [field.serialization_alias or name for name, field in model.model_fields.items()]


class Model(BaseModel):
    """A frozen part of the sweep file that rejects unknown keys.

    The validation context is None for a file. For a call of `sweep.run` it maps entries of a sweep file to
    the arguments of `sweep.run` that have a different name (see `foreign_key_hint`).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        serialize_by_alias=True,
        defer_build=True,  # an import builds no validators: `SweepSpec` builds one for all models at once
    )

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, raw: Any, info: ValidationInfo) -> Any:
        # Runs before pydantic's own check: a missing key is often just a misspelt one.
        if isinstance(raw, dict):
            keys = file_keys(cls)
            aliases = {alias for field in cls.model_fields.values() for alias in field_aliases(field)}
            for key in raw:
                if key not in keys and key not in aliases and key not in cls.model_fields:
                    hint = foreign_key_hint(cls.__name__, key, raw, info.context)
                    message = f"unknown key; {hint}" if hint else cls._unknown_key(key, raw)
                    raise invalid(message, key=key if isinstance(key, int) else str(key))
                if key in aliases - set(keys) and str(key).removeprefix("n_") in raw:
                    raise invalid(f"is the same as {str(key).removeprefix('n_')!r}; leave one out", key=key)
        return raw

    @classmethod
    def _unknown_key(cls, key: Any, raw: dict[Any, Any]) -> str:
        return f"unknown key; {suggestion(key, file_keys(cls))}"


def optuna_options(model: BaseModel, *without: str) -> dict[str, Any]:
    """The options of a sampler or pruner under Optuna's names.

    Args:
        model: the sampler or pruner. Its `type`, and options that are None, are left out.
        without: further options to leave out.
    """
    options = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value is not None and name not in ("type", *without):
            options[[name, *field_aliases(field)][-1]] = value
    return options
