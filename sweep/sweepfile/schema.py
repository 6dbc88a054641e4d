"""The JSON Schema of sweep files, for editors and other programs.

The models of `sweep.sweepfile` have it: where a validator accepts more than the type of a field, it names the
accepted types (`json_schema_input_type`). Rules about several keys are left to `sweep check`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from sweep.sweepfile.base import field_aliases
from sweep.sweepfile.model import SweepSpec

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The JSON Schema of sweep files (draft 2020-12). Every file that `sweep check` accepts is valid."""
    schema = SweepSpec.model_json_schema(schema_generator=_Generator)
    schema["required"].remove("name")  # by default the file's name
    for key, entry in schema["properties"].items():
        if key not in schema["required"]:
            schema["properties"][key] = _nullable(entry)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def _nullable(schema: Schema) -> Schema:
    """A top-level key without a value means its default."""
    outside: Schema = {key: schema.pop(key) for key in ("default", "description") if key in schema}
    forms = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
    return {**outside, "anyOf": [*(one for one in forms if one != {"type": "null"}), {"type": "null"}]}


class _Generator(GenerateJsonSchema):
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        found = super().default_schema(schema)
        default = found.get("default")
        if isinstance(default, Mapping):
            found["default"] = {key: value for key, value in default.items() if value is not None}
        if found.get("default") in (None, {}, []):
            found.pop("default", None)
        return found

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        found = super().model_schema(schema)
        cls: type[BaseModel] = schema["cls"]
        properties: dict[str, Schema] = found.get("properties", {})
        for name, field in cls.model_fields.items():
            key = field.serialization_alias or name
            if description := _description(key, cls):
                properties[key].setdefault("description", description)
            properties.update(dict.fromkeys(field_aliases(field)[1:], properties[key]))
        found["title"] = _sentences(cls.__doc__ or cls.__name__)[0].rstrip(".")
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No titles: they would repeat the keys."""
        return False


def _sentences(text: str) -> list[str]:
    return [" ".join(one.split()) for one in re.split(r"(?<=[.;])\s+", inspect.cleandoc(text))]


def _description(key: str, cls: type[BaseModel]) -> str:
    """The sentences about a key in the docstrings of its model and the model's bases."""
    for one in cls.__mro__:
        sentences = _sentences(one.__doc__ or "") if issubclass(one, BaseModel) else []
        if found := [text for text in sentences if re.search(rf"`{re.escape(key)}[`:]", text)]:
            return " ".join(found).rstrip(";")
    return ""
