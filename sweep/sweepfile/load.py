"""Reads a sweep file and command-line overrides into a valid `SweepSpec`, or raises one clear error."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sweep.errors import EntryError, InputError, SpecError, nearest_file
from sweep.sweepfile import yaml as sweep_yaml
from sweep.sweepfile.misplaced import misplaced_key, nested_sweep
from sweep.sweepfile.model import SweepSpec
from sweep.sweepfile.tree import flatten
from sweep.sweepfile.types import as_directory_name, is_directory_name, short_repr
from sweep.sweepfile.validation_errors import place_of, spec_error
from sweep.sweepfile.wandb import reading as wandb
from sweep.sweepfile.wandb.values import WandbFileError
from sweep.sweepfile.yaml_traps import split_notes, syntax_hint, text_notes

Override = tuple[str, str, Any]
"""The option (for messages), the dotted key, and the value."""


def parse_override(text: str, option: str = "--set ") -> Override:
    """Read one `--set key.sub=value`; the value is YAML, as in the file.

    Raises:
        InputError: there is no `=` or no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        example = f"{option}stop.trials=20" if option else "lr=0.01"
        raise InputError(f"{option}{text}: expected key=value, for example {example}")
    try:
        return f"{option}{text}", key, sweep_yaml.read_value(value)
    except yaml.YAMLError as error:
        raise InputError(f"{option}{text}: the value is not YAML: {_yaml_problem(error)}") from None


@dataclass(frozen=True)
class SweepFile:
    """A validated sweep file: its spec, and the place of each entry.

    Args:
        spec: the sweep.
        path: the file, as messages name it.
        document: the file's data and line numbers.
        origins: the entries that were set by options, and the option for each.
        notes: hints for the author of the file.
        is_wandb: whether the file is W&B's.
    """

    spec: SweepSpec
    path: Path
    document: sweep_yaml.Document
    origins: Mapping[sweep_yaml.Path, str]
    notes: tuple[str, ...] = ()
    is_wandb: bool = False

    @contextmanager
    def locating(self) -> Iterator[None]:
        """Add the place of the entry (file and line, or option) to an `EntryError`.

        Raises:
            SpecError: replaces an `EntryError`.
        """
        try:
            yield
        except EntryError as error:
            place = place_of(self._find(error.key), self.document, str(self.path), self.origins)
            raise SpecError(f"{place}: {error}") from None

    @property
    def metric_place(self) -> str:
        """The place of the metric's name: file and line, or the option that set it."""
        names = [metric.name for metric in self.spec.metrics or ()]
        name = self.spec.metric.name
        path = ("metrics", names.index(name), "name") if names else ("metric", "name")
        return place_of(path, self.document, str(self.path), self.origins)

    def _find(self, key: str) -> sweep_yaml.Path:
        """The path of an entry, or of the nearest one above it. Names can contain dots, and the name of a
        parameter leaves out the `parameters` of its groups."""
        path: list[str | int] = []
        data, rest = self.document.data, key.split(".")
        while rest:
            entries = data if isinstance(data, dict) else {}
            if isinstance(data, list):
                entries = {str(index): item for index, item in enumerate(data)}
            length = next((n for n in range(1, len(rest) + 1) if ".".join(rest[:n]) in entries), 0)
            if length == 0 and "parameters" not in entries:
                return (*path, *rest)
            name = ".".join(rest[:length]) or "parameters"
            path.append(int(name) if isinstance(data, list) else name)
            data, rest = entries[name], rest[length:]
        return tuple(path)


def load_spec(path: str | os.PathLike[str], overrides: Sequence[Override] = ()) -> SweepSpec:
    """The spec of a sweep file; see `read_sweep_file`."""
    return read_sweep_file(path, overrides).spec


def read_sweep_file(path: str | os.PathLike[str], overrides: Sequence[Override] = ()) -> SweepFile:
    """Read a sweep file. The default name of the sweep is the file's name without its suffix.

    Args:
        path: the file.
        overrides: changes to its entries, applied in order.

    Raises:
        InputError: the file cannot be read, is not YAML, or is not a valid sweep: a line for each mistake.
    """
    return parse_sweep_file(_read_text(Path(path)), Path(path), overrides)


def parse_sweep_file(text: str, path: Path, overrides: Sequence[Override] = ()) -> SweepFile:
    """Like `read_sweep_file`, but from the text of the file."""
    file = str(path)
    document = _parse(text, file)
    origins: dict[sweep_yaml.Path, str] = {}
    notes: tuple[str, ...] = ()
    is_wandb = wandb.is_wandb(document.data)
    if is_wandb:
        document, notes, overrides = _from_wandb(text, file, overrides, origins)
    else:
        for duplicate in document.duplicates:
            problem = sweep_yaml.duplicate_text(duplicate)
            raise SpecError(f"{file}:{duplicate.line}: invalid YAML: {problem}")
        notes = text_notes(document)
    name = path.stem if is_directory_name(path.stem) else as_directory_name(path.stem)
    has_name = document.data.get("name") is not None
    data = _without_nulls({"name": name, **document.data})
    for origin, key, value in overrides:
        origins[_set(data, key, value, origin)] = origin
    data = _without_nulls(data)
    # W&B's agents accept a function in place of the program.
    if is_wandb and data.get("objective") is not None:
        data = {key: value for key, value in data.items() if key not in ("program", "command", "arguments")}
    document = sweep_yaml.Document(data, document.lines)
    try:
        spec = SweepSpec.model_validate(data)
    except ValidationError as error:
        if not is_wandb and (misplaced := misplaced_key(data, wandb.DISTINCTIVE_KEY, wandb.METHODS)):
            raise _located(*misplaced, document, file, origins) from None
        rename = partial(wandb.name_in_file, lines=document.lines, options=origins)
        raise spec_error(error, document, file, origins, *([rename] if is_wandb else [])) from None
    notes += (*_name_notes(spec), *split_notes(spec))
    if name != path.stem and spec.name == name and not has_name:
        notes += (f"name: {name}, from the name of the file",)
    return SweepFile(spec, path, document, origins, notes, is_wandb)


def _name_notes(spec: SweepSpec) -> Iterator[str]:
    """Notes about parameters whose names are probably not what the author expects."""
    for name, parameter in spec.parameters.items():
        value = getattr(parameter, "value", None)
        if name == wandb.DISTINCTIVE_KEY and isinstance(value, str) and value in wandb.METHODS:
            yield f"parameters.{name}: is a parameter; W&B's method belongs to the top level of the file"
    for name, flat in flatten(spec.parameters).items():
        if name != flat.name:
            yield (
                f"{flat.name} is the name of two parameters: the second is shown as {name!r}, and passed as "
                "in the file"
            )


def _parse(text: str, file: str) -> sweep_yaml.Document:
    try:
        document = sweep_yaml.read_document(text)
    except yaml.YAMLError as error:
        problem = _yaml_problem(error)
        raise SpecError(
            f"{_yaml_place(error, file)}: invalid YAML: {problem}{syntax_hint(problem)}"
        ) from None
    if document.data is None:
        raise SpecError(f"{file}: is empty; a sweep file needs objective, metric and parameters")
    if nested := nested_sweep(document.data):
        raise _located(*nested, document, file, {})
    if not isinstance(document.data, dict):
        raise SpecError(
            f"{file}:{document.line(())}: expected keys such as objective, metric and parameters, "
            f"got {short_repr(document.data)}"
        )
    return document


def _located(
    path: sweep_yaml.Path,
    message: str,
    document: sweep_yaml.Document,
    file: str,
    origins: Mapping[sweep_yaml.Path, str],
) -> SpecError:
    """An error about an entry, with its place."""
    place, key = place_of(path, document, file, origins), ".".join(map(str, path))
    return SpecError(": ".join(filter(None, [place, key, message])))


def _from_wandb(
    text: str, file: str, overrides: Sequence[Override], origins: dict[sweep_yaml.Path, str]
) -> tuple[sweep_yaml.Document, tuple[str, ...], list[Override]]:
    """Translate a W&B file.

    Returns:
        the data of the equivalent sweep file, hints for the author, and the overrides that apply to it.

    Raises:
        SpecError: W&B would reject the file.
    """
    document = sweep_yaml.read_document(text, sweep_yaml.Yaml11Loader)
    data, duplicates = dict(document.data), document.duplicates
    remaining = []
    for origin, key, value in overrides:
        if wandb.is_wandb_key(key, value):
            origins[_set(data, key, value, origin)] = origin
        else:
            remaining.append((origin, key, value))
    document = sweep_yaml.Document(data, document.lines)
    try:
        translated, notes = wandb.translate(data)
    except WandbFileError as error:
        raise _located(error.path, str(error), document, file, origins) from None
    repeated = tuple(
        f"{'.'.join(map(str, path))}: given twice ({lines}); as in W&B, the last one counts"
        for path, line, first in duplicates
        for lines in [f"lines {first} and {line}" if first != line else f"line {line}"]
    )
    return sweep_yaml.Document(translated, document.lines), repeated + notes, remaining


def _without_nulls(data: dict[Any, Any]) -> dict[Any, Any]:
    """Remove top-level keys without a value (`stop:`), which mean the default, unless the key is required."""
    required = {name for name, field in SweepSpec.model_fields.items() if field.is_required()}
    return {key: value for key, value in data.items() if value is not None or key in required}


def _read_text(path: Path) -> str:
    if path.is_dir():
        inside = sorted(path.glob("*.yaml"))
        hint = f"for example {inside[0]}" if inside else "it contains no .yaml file"
        raise InputError(f"{path}: is a directory; give a sweep file ({hint})")
    _reject_python(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = nearest_file(path.name, [other.name for other in sorted(path.parent.glob("*.y*ml"))])
        hint = f"; did you mean {path.with_name(near)}?" if near else ""
        raise InputError(f"{path}: there is no such file{hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not a text file (byte {error.start} is not UTF-8); give a YAML file"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _reject_python(path: Path) -> None:
    """Reject a path to code (`train.py` or `train.py:train`) that was given instead of a sweep file."""
    code = path.with_name(path.name.partition(":")[0])
    if code.suffix != ".py" or not code.is_file():
        return
    sweep_file = code.with_suffix(".yaml")
    hint = (
        f"did you mean {sweep_file}?"
        if sweep_file.is_file()
        else f"`sweep init {path}` writes a sweep file for it"
    )
    raise InputError(f"{path}: is a Python file; {hint}")


def _set(data: dict[Any, Any], key: str, value: Any, origin: str) -> sweep_yaml.Path:
    path = _resolve(data, key)
    target = data
    for depth, part in enumerate(path[:-1], start=1):
        below = target.get(part)
        if below is None:
            below = {}
        if not isinstance(below, dict):
            where = ".".join(path[:depth])
            raise InputError(f"{origin}: {where} is {short_repr(below)} and has no keys below it")
        target[part] = target = dict(below)  # the data of the document stays unchanged
    target[path[-1]] = value
    return path


def _resolve(data: Any, key: str) -> tuple[str, ...]:
    """The path of a dotted key. Names can contain dots."""
    path, rest = [], key.split(".")
    while rest:
        entries = data if isinstance(data, dict) else {}
        length = next((n for n in range(1, len(rest) + 1) if ".".join(rest[:n]) in entries), 1)
        path.append(".".join(rest[:length]))
        data, rest = entries.get(path[-1]), rest[length:]
    return tuple(path)


def _yaml_place(error: yaml.YAMLError, file: str) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{file}:{mark.line + 1}" if mark is not None else file


def _yaml_problem(error: yaml.YAMLError) -> str:
    parts: Mapping[str, Any] = vars(error)
    problem = parts.get("problem") or parts.get("reason") or str(error)
    context = parts.get("context")
    text = f"{problem} ({context})" if context else str(problem)
    return " ".join(text.split())
