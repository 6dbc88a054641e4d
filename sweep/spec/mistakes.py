"""From a failed validation to lines a person can act on: file, line, key, what was expected, what is near."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from sweep.errors import InputError, nearest, suggestion
from sweep.spec.base import Model
from sweep.spec.types import show
from sweep.spec.yaml import Document, Path


class SpecError(InputError):
    """One or more mistakes in a sweep file, each on its own line of the message."""


def spec_error(
    error: ValidationError, root: type[Model], document: Document, file: str, overrides: Mapping[Path, str]
) -> SpecError:
    """Translate pydantic's findings.

    Args:
        error: what pydantic found.
        root: the model that was validated.
        document: the data that was validated, with line numbers.
        file: the name of the file for the messages.
        overrides: which entries came from the command line, and from which option.
    """
    found = [_read(details, document.data) for details in error.errors(include_url=False)]
    unknown = [path for kind, path, _ in found if kind == "extra_forbidden"]
    lines = []
    for kind, path, details in found:
        if kind == "missing" and _is_misspelt(path, unknown):
            continue  # the misspelt key is the mistake; that the right one is missing only follows
        text = _describe(kind, path, details, root, document.data)
        key = ".".join(str(part) for part in path)
        lines.append(": ".join(filter(None, [_place(path, document, file, overrides), key, text])))
    return SpecError("\n".join(dict.fromkeys(lines)))


def _read(details: Any, data: Any) -> tuple[str, Path, Any]:
    path = _real_path(details["loc"], data)
    kind = details["type"]
    context = details.get("ctx", {})
    if kind == "mistake" and context.get("key") is not None:
        path = (*path, context["key"])
    if kind in ("missing", "extra_forbidden"):
        path = (*path[:-1], details["loc"][-1]) if path and path[-1] == details["loc"][-1] else (
            *path,
            details["loc"][-1],
        )
    return kind, path, details


def _real_path(loc: tuple[int | str, ...], data: Any) -> Path:
    """`loc` without the names of union members that pydantic puts between the file's own keys."""
    path: list[int | str] = []
    for part in loc:
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _is_misspelt(missing: Path, unknown: list[Path]) -> bool:
    return any(
        path[:-1] == missing[:-1] and nearest(path[-1], [str(missing[-1])]) is not None for path in unknown
    )


def _place(path: Path, document: Document, file: str, overrides: Mapping[Path, str]) -> str:
    for end in range(len(path), 0, -1):
        if path[:end] in overrides:
            return overrides[path[:end]]
    line = document.line(path)
    return f"{file}:{line}" if line is not None else file


def _describe(kind: str, path: Path, details: Any, root: type[Model], data: Any) -> str:
    match kind:
        case "mistake":
            return str(details["msg"])
        case "missing":
            return "is missing" + _example(path)
        case "extra_forbidden":
            return "unknown key; " + suggestion(path[-1], _keys_at(details["loc"][:-1], root))
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"expected a mapping such as {{key: value}}, got {show(details['input'])}"
        case "list_type":
            return f"expected a list such as [1, 2], got {show(details['input'])}"
        case _:
            message = str(details["msg"])
            return f"{message[0].lower()}{message[1:]}, got {show(details['input'])}"


_EXAMPLES: dict[Path, str] = {
    ("objective",): "; write for example objective: train.py:train (a function in a file)",
    ("metric",): "; write for example metric: {name: val/loss, goal: minimize}",
    ("metric", "name"): "; the name under which trials report it, for example val/loss",
    ("metric", "goal"): "; write maximize or minimize",
    ("parameters",): "; write for example parameters: {lr: {min: 1e-4, max: 1e-1, log: true}}",
}


def _example(path: Path) -> str:
    return _EXAMPLES.get(path, "")


def _keys_at(loc: tuple[int | str, ...], root: type[Model]) -> list[str]:
    """The keys that the model at `loc` has."""
    model: Any = root
    for part in loc:
        model = _child(model, part)
        if model is None:
            return []
    return [key for key in model.model_fields] if isinstance(model, type) else []


def _child(model: Any, part: int | str) -> Any:
    """The model that stands behind one part of a location: a field, a dict entry, or a union member."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return _models_in(model.model_fields[str(part)].annotation) if part in model.model_fields else None
    if isinstance(model, dict):
        return model.get(part, model)  # by tag; any other part is the name of a dict entry
    return None


def _models_in(annotation: Any) -> Any:
    """The one model of an annotation, or its union members by their tags."""
    models: dict[str, Any] = {}
    _collect(annotation, models)
    return next(iter(models.values())) if len(models) == 1 else models


def _collect(annotation: Any, models: dict[str, Any]) -> None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        models[_tag(annotation)] = annotation
    for argument in getattr(annotation, "__args__", ()):
        _collect(argument, models)


def _tag(model: type[BaseModel]) -> str:
    kind = model.model_fields.get("type")
    literals = getattr(kind.annotation, "__args__", ()) if kind is not None else ()
    return str(literals[0]) if len(literals) == 1 else model.__name__.lower()
