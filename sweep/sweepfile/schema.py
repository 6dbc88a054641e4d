"""The sweep file as a JSON Schema, for editors and other programs.

It is made from the models. Many of their keys take more forms than their types say, for a validator brings
these into one form first: this module names the forms, by validator. What depends on several keys at once is
left to `sweep check`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from sweep.sweepfile import model, parameters, programs, pruners, repeats, samplers, types

Schema = dict[str, Any]
Form = Callable[[Schema], Schema]

_SCALAR: Schema = {"type": ["null", "boolean", "number", "string"]}
_WORD_OR_NUMBER: Schema = {"type": ["boolean", "number", "string"]}
_CLASS: Schema = {"type": "string", "pattern": r"^\S+:\S+$"}


def json_schema() -> Schema:
    """What a sweep file may say, as a JSON Schema (draft 2020-12). All that `sweep check` takes is valid."""
    schema = model.SweepSpec.model_json_schema(schema_generator=_Generator)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _Generator(GenerateJsonSchema):
    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> Schema:
        return _in_form(schema["function"]["function"], super().function_before_schema(schema))

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> Schema:
        return _in_form(schema["function"]["function"], super().function_after_schema(schema))

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> Schema:
        return _in_form(schema["function"]["function"], super().function_wrap_schema(schema))

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
            if "description" not in properties[key] and (said := _said_of(key, cls)):
                properties[key]["description"] = said
            if cls is model.SweepSpec and not field.is_required():
                properties[key] = _or({"type": "null"})(properties[key])
            if isinstance(field.validation_alias, AliasChoices):
                for alias in field.validation_alias.choices[1:]:
                    properties[str(alias)] = properties[key]
        for key, words in _WORDS.get(cls, {}).items():
            properties[key] = {**properties[key], "anyOf": [{"enum": list(words)}, {"type": "null"}]}
        if cls in samplers.SAMPLERS.values() and cls is not samplers.TpeSampler:
            found["required"] = ["type"]  # it has a default in Python; in a file only tpe goes without
        if cls in (samplers.CustomSampler, pruners.CustomPruner):
            properties["type"] = {**properties["type"], **_CLASS}
        if cls is model.SweepSpec:
            found["required"] = [key for key in found["required"] if key != "name"]  # the file's own name
        if cls in _ANY_OF:
            found["allOf"] = [{"anyOf": [{"required": [key]} for key in keys]} for keys in _ANY_OF[cls]]
        if cls.__doc__:
            found["title"] = _sentences(cls.__doc__)[0].rstrip(".")
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Keys are their own titles."""
        return False


def _in_form(validator: Any, schema: Schema) -> Schema:
    form = _FORMS.get(validator)
    return schema if form is None else form(schema)


def _is(**form: Any) -> Form:
    """It has this form, whatever its type in Python says."""
    return lambda _: dict(form)  # pydantic writes defaults into what it gets


def _and(**more: Any) -> Form:
    """It has its type's form, within limits."""
    return lambda schema: {**schema, **more}


def _or(*others: Schema) -> Form:
    """It has its type's form or another one."""

    def form(schema: Schema) -> Schema:
        outside: Schema = {key: schema[key] for key in ("default", "description") if key in schema}
        inside = {key: value for key, value in schema.items() if key not in outside}
        forms = inside["anyOf"] if inside.keys() == {"anyOf"} else inside.get("oneOf", [inside])
        return {**outside, "anyOf": [*forms, *(other for other in others if other not in forms)]}

    return form


def _list_or_one(item: Schema) -> Form:
    return _is(anyOf=[item, {"type": "array", "items": item}])


def _named(choices: Mapping[str, type[BaseModel]], *others: Schema) -> Form:
    """A mapping with a `type`, or the type alone where that says enough."""
    return _or({"enum": [word for word, cls in choices.items() if _needs_nothing(word, cls)]}, *others)


def _needs_nothing(word: str, cls: type[BaseModel]) -> bool:
    try:
        cls.model_validate({"type": word})
    except ValidationError:
        return False
    return True


def _duration(**least: int) -> Form:
    pattern = rf"^\s*{types._DURATION.pattern}\s*$"
    return _is(anyOf=[{"type": "number", **least}, {"type": "string", "pattern": pattern}])


_ENQUEUED: Schema = {"anyOf": [{"const": model.DEFAULTS}, {"type": "object", "minProperties": 1}]}
_SEED: Schema = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**32}

_FORMS: dict[Any, Form] = {
    types._number: _is(type="number"),
    types._integer: _is(type="integer"),
    types._positive: _and(exclusiveMinimum=0),
    types._not_negative: _and(minimum=0),
    types._non_empty: _is(type="string", pattern=r"^\S([\s\S]*\S)?$"),
    types._directory_name: _is(type="string", pattern=f"^{types._NAME.pattern}$", maxLength=100),
    types._duration: _duration(exclusiveMinimum=0),
    types._delay: _duration(minimum=0),
    model._limit: _is(type="string", pattern=r"^\s*[<>]=?\s*[-+.\d]"),
    model._causes: _list_or_one({"enum": list(model.CAUSES)}),
    model._metrics: lambda schema: {
        "anyOf": [{**one, "minItems": 1} if "items" in one else one for one in schema["anyOf"]]
    },
    model._constraints: _list_or_one({"type": "string"}),
    model._enqueue: _list_or_one(_ENQUEUED),
    programs.as_command: _is(
        anyOf=[{"type": "array", "items": _WORD_OR_NUMBER, "minItems": 1}, {"type": "null"}]
    ),
    programs.as_environment: _is(
        type="object",
        propertyNames={"pattern": f"^{programs._VARIABLE.pattern}$"},
        additionalProperties=_WORD_OR_NUMBER,
    ),
    programs.as_patterns: _is(
        anyOf=[
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1},
        ]
    ),
    parameters._conditions: _is(
        type="object",
        additionalProperties={"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]},
        minProperties=1,
    ),
    parameters._parameters: _and(minProperties=1, propertyNames={"pattern": r"^\S([\s\S]*\S)?$"}),
    parameters._normalise: _or(_SCALAR),
    parameters._or_define_by_run: _or({"const": parameters.DEFINE_BY_RUN}),
    repeats._seeds: _is(
        anyOf=[
            {"type": "integer", "minimum": 1, "maximum": repeats._MOST_REPEATS},
            {"type": "array", "items": _SEED, "minItems": 1, "uniqueItems": True},
        ]
    ),
    repeats.as_repeats: _or({"type": "integer", "minimum": 1, "maximum": repeats._MOST_REPEATS}),
    samplers._sampler: _named(samplers.SAMPLERS, _CLASS),
    samplers._size: _and(minimum=2),
    samplers._probability: _and(minimum=0, maximum=1),
    pruners._pruner: _named(pruners.PRUNERS, _CLASS),
    pruners._wrapped: _named(pruners.WRAPPABLE, _CLASS),
    pruners._percentile: _and(minimum=0, maximum=100),
    pruners._significance: _and(minimum=0, maximum=1),
    pruners._resource: _is(anyOf=[{"type": "integer", "minimum": 1}, {"const": "auto"}]),
    pruners._reduction: _is(type="integer", minimum=2),
    pruners._factor: _and(exclusiveMinimum=1),
}
"""What a key that goes through a validator may look like before."""

_WORDS: dict[type[BaseModel], Mapping[str, Sequence[str]]] = {
    samplers.Nsga2Sampler: {"mutation": samplers.MUTATIONS, "crossover": samplers.CROSSOVERS},
    samplers.Nsga3Sampler: {"mutation": samplers.MUTATIONS, "crossover": samplers.CROSSOVERS},
    samplers.QmcSampler: {"qmc_type": ("sobol", "halton")},
}
"""Keys that take one of a few words, of which their types say nothing."""

_ANY_OF: dict[type[BaseModel], Iterable[Sequence[str]]] = {
    model.SweepSpec: [("objective", "program", "command"), ("metric", "metrics")],
    model.ListedMetric: [("goal", "constraint")],
    pruners.ThresholdPruner: [("lower", "upper")],
    pruners.BandsPruner: [("min_iter", "max_iter")],
}
"""Keys of which one has to be there."""


def _sentences(text: str) -> list[str]:
    return [" ".join(one.split()) for one in re.split(r"(?<=[.;])\s+", inspect.cleandoc(text))]


def _said_of(key: str, cls: type[BaseModel]) -> str:
    """What the docstrings of a model and its bases say of one of its keys."""
    for one in cls.__mro__:
        if issubclass(one, BaseModel) and one.__doc__ and one is not BaseModel:
            said = [
                sentence
                for sentence in _sentences(one.__doc__)
                if re.search(rf"`{re.escape(key)}[`:]", sentence)
            ]
            if said:
                return " ".join(said).rstrip(";")
    return ""
