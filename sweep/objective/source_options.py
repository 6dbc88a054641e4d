"""Reads the options that a script declares with argparse, click or typer."""

from __future__ import annotations

import ast
from typing import Any

from sweep.objective.source_info import Source, arguments_of, in_order, literal

FLAG = {"values": [True, False], "default": False}
"""An option that takes no value; one that is on by default is turned off by another, `--no-NAME`."""


def read_options(tree: ast.Module, source: Source) -> None:
    """Add the options that a script declares to `source`."""
    for node in in_order([tree]):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument")):
                _read_declaration(node, source)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="click"), attr="option" | "argument")):
                _read_declaration(node, source)
            case ast.FunctionDef(name=name, decorator_list=decorators):
                is_run = f"typer.run({name})" in ast.unparse(tree)
                if is_run or any(".command" in ast.unparse(decorator) for decorator in decorators):
                    _read_typer(node, source)


def _read_declaration(call: ast.Call, source: Source) -> None:
    """Read a call of argparse's `add_argument` or click's `option`."""
    given = arguments_of(call)
    texts = {key: ast.unparse(node).strip("'\"") for key, node in given.items()}
    action, type_ = texts.get("action", "store"), texts.get("type", "")
    default, choices = literal(given.get("default")), literal(given.get("choices"))
    type_node = given.get("type")  # click.Choice([...]), click.IntRange(1, 5)
    nodes = arguments_of(type_node, ("min", "max")) if isinstance(type_node, ast.Call) else {}
    limits = {key: value for key, node in nodes.items() if (value := literal(node)) is not None}
    names = [value for argument in call.args if isinstance(value := literal(argument), str)]
    name, _, off = next((name[2:] for name in names if name.startswith("--")), "").partition("/")
    if not name:
        source.notes.append(
            f"{' '.join(names) or f'line {call.lineno}'} is not a --option: write it in command"
        )
    elif off or literal(given.get("is_flag")) or action.endswith(("_true", "_false", "OptionalAction")):
        is_on = default is True and not action.startswith("store_")
        source.add((off.lstrip("-") or f"no-{name}") if is_on else name, FLAG)
    elif action != "store" or type_.endswith("bool") or given.keys() & {"nargs", "multiple"}:
        source.notes.append(f"--{name} is left out: its type cannot be written in a sweep file")
    elif "Range(" in type_ and isinstance(limits.get("min"), int | float) and "max" in limits:
        number = float if "Float" in type_ else int
        source.add(name, {"min": number(limits["min"]), "max": number(limits["max"])})
    else:
        _add(source, name, type_, default, limits.get("min") if "Choice(" in type_ else choices)


def _read_typer(function: ast.FunctionDef, source: Source) -> None:
    """Read the arguments of a typer command that have defaults: the others are not options."""
    defaults = function.args.defaults
    for argument, default in zip(function.args.args[-len(defaults) :], defaults, strict=False):
        type_ = "" if argument.annotation is None else ast.unparse(argument.annotation)
        if "Argument(" in type_ + ast.unparse(default):
            continue
        value = default.args[0] if isinstance(default, ast.Call) and default.args else default
        name, type_ = argument.arg.replace("_", "-"), type_.removeprefix("Annotated[").split(",")[0]
        if type_ == "bool":
            source.add(f"no-{name}" if literal(value) is True else name, FLAG)
        else:
            _add(source, name, type_, literal(value))


def _add(source: Source, name: str, type_: str, default: Any, choices: Any = None) -> None:
    """Add an option with a value: its choices, or values around its default as an example."""
    if isinstance(choices, list | tuple):
        source.add(name, {"values": [*choices], **({"default": default} if default in choices else {})})
    elif isinstance(default, str):
        source.add(name, None, default)
    elif type(default) not in (int, float) or default <= 0:
        source.add(name, None, {"min": 1, "max": 10} if type_ == "int" else {"min": 0.0, "max": 1.0})
    elif isinstance(default, int) and not type_.endswith("float"):
        source.add(name, None, {"min": max(1, default // 2), "max": default * 2, "default": default})
    else:  # two decades; without the last digits of the product, for 0.0003 * 10 is 0.003
        bounds = {"min": float(f"{default / 10:.6g}"), "max": float(f"{default * 10:.6g}")}
        source.add(name, None, {**bounds, "log": True, "default": float(default)})
