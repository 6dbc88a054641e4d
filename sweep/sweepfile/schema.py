"""The JSON Schema of sweep files, for editors and other programs.

It is generated from the models of `sweep.sweepfile`. Where a validator accepts more than the type of its
field, the field's annotation adds the accepted forms (`OrForms`, `WithJsonSchema`). Rules about several keys
are only checked by `sweep check`.
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
    """Allow null for a top-level key, which means its default."""
    annotations: Schema = {key: schema.pop(key) for key in ("default", "description") if key in schema}
    forms = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
    return {**annotations, "anyOf": [*(form for form in forms if form != {"type": "null"}), {"type": "null"}]}


class _Generator(GenerateJsonSchema):
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        result = super().default_schema(schema)
        default = result.get("default")
        if isinstance(default, Mapping):
            result["default"] = {key: value for key, value in default.items() if value is not None}
        if result.get("default") in (None, {}, []):
            result.pop("default", None)
        return result

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        result = super().model_schema(schema)
        cls: type[BaseModel] = schema["cls"]
        properties: dict[str, Schema] = result.get("properties", {})
        for name, field in cls.model_fields.items():
            key = field.serialization_alias or name
            if description := _description(key, cls):
                properties[key].setdefault("description", description)
            properties.update(dict.fromkeys(field_aliases(field)[1:], properties[key]))
        result["title"] = _sentences(cls.__doc__ or cls.__name__)[0].rstrip(".")
        return result

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No titles: they would repeat the keys."""
        return False


def _sentences(text: str) -> list[str]:
    return [" ".join(sentence.split()) for sentence in re.split(r"(?<=[.;])\s+", inspect.cleandoc(text))]


def _description(key: str, cls: type[BaseModel]) -> str:
    """The sentences that mention a key in the docstring of its model, or else of the model's bases."""
    for base in cls.__mro__:
        sentences = _sentences(base.__doc__ or "") if issubclass(base, BaseModel) else []
        if matching := [text for text in sentences if re.search(rf"`{re.escape(key)}[`:]", text)]:
            return " ".join(matching).rstrip(";")
    return ""
