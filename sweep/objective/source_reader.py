"""Finds the function or script that `sweep init` names, and reads its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.errors import EntryError, InputError
from sweep.objective.callables import Bindings, bindings_of
from sweep.objective.function import FunctionReference, parse_module
from sweep.objective.source_functions import FoundObjective, find_objective
from sweep.objective.source_hydra_sweep import read_hydra_sweep
from sweep.objective.source_info import Source, arguments_of, bound_once, in_order
from sweep.objective.source_libraries import read_command_line
from sweep.objective.source_study import find_studies, read_study
from sweep.sweepfile.files import find_file


def read_source(target: str) -> Source:
    """Read the source of a function or a script.

    Args:
        target: `file.py:function`, `package.module:function`, `file.py`, or a configuration of
            Hydra's sweeper.

    Raises:
        InputError: there is no such file or function, or the file is not Python or has several objectives.
    """
    try:
        if target.endswith((".yaml", ".yml")):
            return read_hydra_sweep(target)
        if ":" in target:
            return _read_named(target)
        file = find_file("TARGET", target, [Path()], "*.py")
        tree = parse_module(file)
        found = find_objective(tree, target, find_studies(tree))
        if found is None or (found.to_do and not found.study and _read_script(tree, file, target).examples):
            return _read_script(tree, file, target)
        if found.to_do:
            return _read_objective(tree, f"{target}:{found.name}", found)
        return _read_named(f"{target}:{found.name}", found)
    except EntryError as error:
        raise InputError(str(error).removeprefix(f"{error.key}: ")) from None


def _read_script(tree: ast.Module, file: Path, target: str) -> Source:
    source = Source("program", target, bound_once=bound_once(tree))
    source.metrics = _reported_metrics([tree], source)
    read_command_line(tree, file, source)
    return source


def _read_named(target: str, found: FoundObjective | None = None) -> Source:
    """Read a function that exists under its name in a module, and the study that optimizes it."""
    reference = FunctionReference.find(target, Path())
    if reference.file is None or reference.file.suffix != ".py":
        return Source("objective", target)
    tree = parse_module(reference.file)
    match bindings_of(tree).get(reference.function):
        case [ast.ImportFrom(module=str(module), level=0, names=aliases)]:
            (name,) = (each.name for each in aliases if reference.function in (each.asname, each.name))
            origin = reference.file.parent / f"{module.replace('.', '/')}.py"
            if origin.is_file() and reference.source is not None:
                place = Path(target.rpartition(":")[0]).parent / origin.relative_to(reference.file.parent)
                return _read_named(f"{place}:{name}", found)
    if found is None:
        studies = [
            study
            for study in find_studies(tree)
            if reference.function in map(ast.unparse, in_order([study.objective]))
        ]
        study = studies[0] if len(studies) == 1 else None
        found = FoundObjective(reference.function, study)
    return _read_objective(tree, target, found)


def _read_objective(tree: ast.Module, target: str, found: FoundObjective) -> Source:
    source = Source("objective", target, found.to_do, bound_once=bound_once(tree))
    source.has_suggestions = found.study is not None  # wherever they are
    bindings = {**_local_bindings(tree), **bindings_of(tree)}
    name = (found.function or target.rpartition(":")[2]).split(".")[0]
    start: list[ast.AST] = [] if found.study is None else [found.study.objective]
    if not _reachable(start, bindings):
        start = list(bindings.get(name, []))
    nodes = [*start, *_reachable(start, bindings)]
    for node in in_order(nodes):
        match node:
            case ast.Call(func=ast.Attribute(attr=method)) if method.startswith("suggest_"):
                source.has_suggestions = True
                _read_suggestion(method, node, source)
            case (
                ast.Attribute(value=owner, attr=name)
                | ast.Subscript(value=owner, slice=ast.Constant(value=str(name)))
            ) if ast.unparse(owner).split(".")[-1] == "params" and name not in dir(dict):
                source.add_example(name, None)
    source.metrics = _reported_metrics(nodes, source)
    if source.has_suggestions or found.study is not None:
        source.metrics = _returned_metrics(start, bindings, source, source.metrics)
    if found.study is not None:
        prunes = any(
            isinstance(node, ast.Attribute) and node.attr == "should_prune" for node in in_order(nodes)
        )
        read_study(found.study, source, prunes)
    return source


def _local_bindings(tree: ast.Module) -> Bindings:
    """The nodes that functions bind names to, for objectives that are defined in a function."""
    bindings: Bindings = {}
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bindings.setdefault(name, []).append(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                bindings.setdefault(name, []).append(value)
    return bindings


def _reachable(start: list[ast.AST], bindings: Bindings) -> list[ast.AST]:
    """The nodes that names are bound to which some nodes use, directly or through others."""
    names: list[str] = []
    reached: list[ast.AST] = []
    todo = list(start)
    while todo:
        used = [node.id for node in in_order([todo.pop(0)]) if isinstance(node, ast.Name)]
        for name in dict.fromkeys(used):
            if name in bindings and name not in names:
                names.append(name)
                new = [node for node in bindings[name] if not any(node is each for each in start)]
                reached += new
                todo += new
    return reached


def _reported_metrics(nodes: list[ast.AST], source: Source) -> list[str]:
    """The names in `trial.log({"loss": ...})`, `return {"loss": ...}`, `add_scalar("loss", ...)`."""
    tags: list[object] = []
    for node in in_order(nodes):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_scalar"), args=[tag, *_]):
                tags.append(source.literal(tag))
            case ast.Call(
                func=ast.Attribute(attr="log" | "report" | "dumps"), args=[ast.Dict() as values, *_]
            ):
                tags += map(source.literal, values.keys)
            case ast.Return(value=ast.Dict() as values):
                tags += map(source.literal, values.keys)
    return _valid_names(tags)


def _valid_names(tags: list[object]) -> list[str]:
    names = dict.fromkeys(name for name in tags if isinstance(name, str) and name.isprintable())
    return [name for name in names if name == name.strip() and name not in ("", "step", "_step", "epoch")]


def _returned_metrics(
    start: list[ast.AST], bindings: Bindings, source: Source, logged: list[str]
) -> list[str]:
    """The names of what an Optuna objective returns; what it logs, if it returns nothing.

    Empty for a number without a name: the logged metrics can be something else.
    """
    for function in _called(start, bindings, 0):
        returned = [node.value for node in _own_statements(function) if isinstance(node, ast.Return)]
        dicts = [value for value in returned if isinstance(value, ast.Dict)]
        tuples = {ast.unparse(value): value for value in returned if isinstance(value, ast.Tuple)}
        if not any(returned):
            return logged
        if dicts:
            return _valid_names([source.literal(key) for value in dicts for key in value.keys])
        if len(tuples) == 1:
            (value,) = tuples.values()
            names = [element.id for element in value.elts if isinstance(element, ast.Name)]
            if len(set(names)) == len(value.elts):
                return names
    return []


def _called(nodes: list[ast.AST], bindings: Bindings, depth: int) -> Iterator[ast.FunctionDef]:
    """The functions that are called first if a value is called: through partials, lambdas, instances."""
    for node in nodes if depth < 5 else []:
        match node:
            case ast.FunctionDef():
                yield node
            case ast.ClassDef(body=body):
                yield from (item for item in body if getattr(item, "name", "") == "__call__")  # type: ignore[misc]
            case ast.Name(id=name):
                yield from _called(bindings.get(name, []), bindings, depth + 1)
            case ast.Lambda(body=ast.Call(func=function)):
                yield from _called([function], bindings, depth + 1)
            case ast.Call(func=function, args=args):
                yield from _called([function, *args[:1]], bindings, depth + 1)


def _own_statements(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions that it defines."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(node)


def _read_suggestion(method: str, call: ast.Call, source: Source) -> None:
    """Read a call such as `trial.suggest_float("lr", 1e-5, 1e-1, log=True)`."""
    bounds = ["choices"] if method == "suggest_categorical" else ["min", "max", "step"]
    nodes = arguments_of(call, ("name", *bounds))
    keys = {"low": "min", "high": "max", "q": "step"}
    given = {keys.get(str(key), key): source.literal(node) for key, node in nodes.items()}
    name, choices = given.pop("name", None), given.pop("choices", None)
    number = int if method == "suggest_int" else float
    if not isinstance(name, str):
        source.notes.append(f"line {call.lineno}: the name of a parameter is not a literal")
    elif isinstance(choices, list | tuple):
        source.add(name, {"values": [*choices]})
    elif all(isinstance(value, int | float) for value in given.values()):
        is_log = bool(given.pop("log", method == "suggest_loguniform"))
        values = {key: number(value) for key, value in given.items()}
        source.add(name, {**values, "log": True} if is_log else values)
    else:
        source.add(name, None, _integers(given) if number is int else None)


def _integers(given: Mapping[str | None, Any]) -> dict[str, int]:
    """An example of a range of integers, with the bounds that are certain."""
    low, high = (value if type(value := given.get(key)) is int else None for key in ("min", "max"))
    if low is None:
        low = 1 if high is None or high > 1 else high - 9
    return {"min": low, "max": max(10, 2 * low) if high is None else high}
