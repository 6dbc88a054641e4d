"""Reading a sweep file: text and command-line overrides in, a valid `SweepSpec` or one clear error out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sweep.errors import InputError, nearest
from sweep.spec import yaml as sweep_yaml
from sweep.spec.mistakes import SpecError, spec_error
from sweep.spec.model import SweepSpec
from sweep.spec.types import show

Override = tuple[str, str, Any]
"""The option it came from (for messages), the dotted key, and the value."""


def parse_override(text: str) -> Override:
    """Read one `--set key.sub=value`; the value is YAML, as in the file.

    Raises:
        InputError: no `=`, no key, or a value that is no YAML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        raise InputError(f"--set {text}: expected key=value, for example --set stop.trials=20")
    try:
        return f"--set {text}", key, sweep_yaml.read_value(value)
    except yaml.YAMLError as error:
        raise InputError(f"--set {text}: the value is no YAML: {_problem(error)}") from None


def load_spec(path: str | os.PathLike[str], overrides: Sequence[Override] = ()) -> SweepSpec:
    """Read a sweep file; its name without the ending is the sweep's name unless it says otherwise.

    Args:
        path: the file.
        overrides: changes to it, applied in order.

    Raises:
        InputError: it cannot be read, is no YAML, or says something that is no valid sweep.
    """
    return parse_spec(_read_text(Path(path)), str(path), Path(path).stem, overrides)


def parse_spec(text: str, file: str, default_name: str, overrides: Sequence[Override] = ()) -> SweepSpec:
    """Like `load_spec` for text that is already there.

    Args:
        text: the sweep file's content.
        file: its name in error messages.
        default_name: the sweep's name unless the content has one.
        overrides: changes to it, applied in order.

    Raises:
        SpecError: one line for each mistake.
    """
    try:
        document = sweep_yaml.read_document(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{_mark(error, file)}: no valid YAML: {_problem(error)}") from None
    if document.data is None:
        raise SpecError(f"{file}: is empty; a sweep file needs objective, metric and parameters")
    if not isinstance(document.data, dict):
        raise SpecError(
            f"{file}:{document.line(())}: expected keys such as objective, metric and parameters, "
            f"got {show(document.data)}"
        )
    data = _without_nulls({"name": default_name, **document.data})
    origins: dict[sweep_yaml.Path, str] = {}
    for origin, key, value in overrides:
        path = _set(data, key, value, origin)
        origins[path] = origin
    try:
        return SweepSpec.model_validate(data)
    except ValidationError as error:
        located = sweep_yaml.Document(data, document.lines)
        raise spec_error(error, SweepSpec, located, file, origins) from None


def _without_nulls(data: dict[Any, Any]) -> dict[Any, Any]:
    """A top-level key with nothing behind it (`stop:`) means the default, except where it is required."""
    required = {name for name, field in SweepSpec.model_fields.items() if field.is_required()}
    return {key: value for key, value in data.items() if value is not None or key in required}


def _read_text(path: Path) -> str:
    if path.is_dir():
        inside = sorted(path.glob("*.yaml"))
        hint = f"for example {inside[0]}" if inside else "it holds no .yaml file"
        raise InputError(f"{path}: is a directory; give a sweep file ({hint})")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        others = [str(other) for other in sorted(path.parent.glob("*.y*ml"))]
        near = nearest(str(path), others)
        hint = f"; did you mean {near}?" if near else ""
        raise InputError(f"{path}: there is no such file{hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is no text file (byte {error.start} is not UTF-8); give a YAML file"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _set(data: dict[Any, Any], key: str, value: Any, origin: str) -> sweep_yaml.Path:
    path = tuple(key.split("."))
    target = data
    for depth, part in enumerate(path[:-1], start=1):
        below = target.setdefault(part, {})
        if not isinstance(below, dict):
            where = ".".join(path[:depth])
            raise InputError(f"{origin}: {where} is {show(below)} in the file and has no keys below it")
        target[part] = target = dict(below)  # the document's own data stays as it is
    target[path[-1]] = value
    return path


def _mark(error: yaml.YAMLError, file: str) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{file}:{mark.line + 1}" if mark is not None else file


def _problem(error: yaml.YAMLError) -> str:
    parts: Mapping[str, Any] = vars(error)
    problem = parts.get("problem") or parts.get("reason") or str(error)
    context = parts.get("context")
    text = f"{problem} ({context})" if context else str(problem)
    return " ".join(text.split())
