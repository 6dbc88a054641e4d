"""Finds the function or script that `sweep init` names, and reads its source without running it."""

from __future__ import annotations

import ast
from pathlib import Path

from sweep.errors import EntryError, InputError
from sweep.objective.callables import Bindings, bindings_of, required_arguments
from sweep.objective.function import FunctionReference, parse_module
from sweep.objective.source_info import Source, arguments_of, in_order, literal
from sweep.objective.source_options import read_options
from sweep.sweepfile.files import find_file


def read_source(target: str) -> Source:
    """Read the source of a function or a script.

    Args:
        target: `file.py:function`, `package.module:function`, or `file.py`.

    Raises:
        InputError: there is no such file or function, or the file is not Python or has several objectives.
    """
    try:
        if ":" not in target:
            tree = parse_module(find_file("TARGET", target, [Path()], "*.py"))
            name = _only_objective(tree, target)
            if not name:
                source = Source("program", target, metrics=_reported_metrics([tree]))
                read_options(tree, source)
                return source
            target = f"{target}:{name}"
        reference = FunctionReference.find(target, Path())
    except EntryError as error:
        raise InputError(str(error).removeprefix(f"{error.key}: ")) from None
    source = Source("objective", target)
    if reference.file is not None and reference.file.suffix == ".py":
        _read_function(bindings_of(parse_module(reference.file)), reference.function, source)
    return source


def _only_objective(tree: ast.Module, place: str) -> str:
    """The name of the only function whose one required argument is `trial`; empty if there is none."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names = [node.name for node in functions if required_arguments(node.args) == ["trial"]]
    if len(names) > 1:
        raise InputError(f"{place}: {' and '.join(names)} take a trial; write {place}:{names[0]}")
    return names[0] if names else ""


def _read_function(bindings: Bindings, name: str, source: Source) -> None:
    nodes = _reachable(name.split(".")[0], bindings)
    source.metrics = _reported_metrics(nodes)
    for node in in_order(nodes):
        match node:
            case ast.Call(func=ast.Attribute(attr=method)) if method.startswith("suggest_"):
                source.has_suggestions = True
                _read_suggestion(method, node, source)
            case (
                ast.Attribute(value=owner, attr=name)
                | ast.Subscript(value=owner, slice=ast.Constant(value=str(name)))
            ) if ast.unparse(owner).split(".")[-1] == "params" and name not in dir(dict):
                source.add(name, None)


def _reachable(name: str, bindings: Bindings) -> list[ast.AST]:
    """The nodes that a name of a module is bound to, and those of the module's names that these use."""
    names = [name]
    for current in names:  # the list grows meanwhile
        used = [node.id for node in in_order(bindings.get(current, ())) if isinstance(node, ast.Name)]
        names += dict.fromkeys(other for other in used if other in bindings and other not in names)
    return [node for reached in names for node in bindings.get(reached, ())]


def _reported_metrics(nodes: list[ast.AST]) -> list[str]:
    """The names in `trial.log({"loss": ...})`, `return {"loss": ...}`, `add_scalar("loss", ...)`."""
    tags: list[object] = []
    for node in in_order(nodes):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_scalar"), args=[tag, *_]):
                tags.append(literal(tag))
            case ast.Call(
                func=ast.Attribute(attr="log" | "report" | "dumps"), args=[ast.Dict() as values, *_]
            ):
                tags += map(literal, values.keys)
            case ast.Return(value=ast.Dict() as values):
                tags += map(literal, values.keys)
    names = dict.fromkeys(name for name in tags if isinstance(name, str) and name.isprintable())
    return [name for name in names if name == name.strip() and name not in ("", "step", "_step", "epoch")]


def _read_suggestion(method: str, call: ast.Call, source: Source) -> None:
    """Read a call such as `trial.suggest_float("lr", 1e-5, 1e-1, log=True)`."""
    bounds = ("choices",) if method == "suggest_categorical" else ("min", "max", "step")
    nodes = arguments_of(call, ("name", *bounds))
    keys = {"low": "min", "high": "max", "q": "step"}
    given = {keys.get(str(key), key): literal(node) for key, node in nodes.items()}
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
        source.add(name, None)
