"""Reads the options that a script declares with argparse, click, typer or absl."""

from __future__ import annotations

import ast
import re
from typing import Any

from sweep.objective.source_info import Source, arguments_of, dotted_name, in_order

FLAG = {"values": [True, False], "default": False}
"""An option that takes no value; one that is on by default is turned off by another, `--no-NAME`."""


def read_options(tree: ast.Module, imports: dict[str, str], source: Source) -> None:
    """Add the options that a script declares to the examples of `source`."""
    nodes = in_order([tree])
    run_by_typer = {
        node.args[0].id
        for node in nodes
        if isinstance(node, ast.Call)
        and dotted_name(node.func, imports) == "typer.run"
        and node.args
        and isinstance(node.args[0], ast.Name)
    }
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument")):
                _read_declaration(node, source)
            case ast.Call(func=ast.Attribute(attr="set_defaults")):
                source.notes.append(f"line {node.lineno}: set_defaults changes the defaults of options")
            case ast.Call(func=ast.Attribute(attr="add_subparsers")):
                source.notes.append("the script has subcommands: write the one to run in command")
            case ast.Call() if dotted_name(node.func, imports) in ("click.option", "click.argument"):
                _read_declaration(node, source)
            case ast.Call() if dotted_name(node.func, imports).startswith("absl.flags.DEFINE_"):
                _read_absl(node, source)
            case ast.FunctionDef(name=name, decorator_list=decorators):
                if name in run_by_typer or any(
                    ".command" in ast.unparse(decorator) for decorator in decorators
                ):
                    _read_typer(node, source)


def _read_declaration(call: ast.Call, source: Source) -> None:
    """Read a call of argparse's `add_argument` or click's `option`."""
    given = arguments_of(call)
    texts = {key: ast.unparse(node).strip("'\"") for key, node in given.items()}
    action, type_ = texts.get("action", "store"), texts.get("type", "")
    default, choices = source.literal(given.get("default")), source.literal(given.get("choices"))
    type_node = given.get("type")  # click.Choice([...]), click.IntRange(1, 5)
    nodes = arguments_of(type_node, ("min", "max")) if isinstance(type_node, ast.Call) else {}
    limits = {key: value for key, node in nodes.items() if (value := source.literal(node)) is not None}
    names = [value for argument in call.args if isinstance(value := source.literal(argument), str)]
    name, _, off = next((name[2:] for name in names if name.startswith("--")), "").partition("/")
    if not name:
        source.notes.append(
            f"{' '.join(names) or f'line {call.lineno}'} is not a --option: write it in command"
        )
    elif (
        off or source.literal(given.get("is_flag")) or action.endswith(("_true", "_false", "OptionalAction"))
    ):
        is_on = default is True and not action.startswith("store_")
        source.add_example((off.lstrip("-") or f"no-{name}") if is_on else name, FLAG)
    elif given.keys() & {"nargs", "multiple"}:
        source.notes.append(f"--{name} takes a list: for example {name}: {{values: [[1, 2], [3, 4]]}}")
    elif action != "store" or type_.endswith("bool"):
        source.notes.append(f"--{name} is left out: its type cannot be written in a sweep file")
    elif "Range(" in type_ and isinstance(limits.get("min"), int | float) and "max" in limits:
        number = float if "Float" in type_ else int
        source.add_example(name, {"min": number(limits["min"]), "max": number(limits["max"])})
    else:
        add_option(source, name, type_, default, limits.get("min") if "Choice(" in type_ else choices)


def _read_absl(call: ast.Call, source: Source) -> None:
    """Read a call such as `flags.DEFINE_float("lr", 0.1, "the rate")`."""
    kind = ast.unparse(call.func).rpartition("DEFINE_")[2]
    nodes = arguments_of(call, ("name", "default", "choices" if kind == "enum" else "help"))
    name, default = source.literal(nodes.get("name")), source.literal(nodes.get("default"))
    if isinstance(name, str) and kind in ("float", "integer", "string", "bool", "boolean", "enum"):
        type_ = {"integer": "int", "boolean": "bool"}.get(kind, kind)
        add_option(source, name, type_, default, source.literal(nodes.get("choices")))


def _read_typer(function: ast.FunctionDef, source: Source) -> None:
    """Read the arguments of a typer command that have defaults: the others are not options."""
    for name, type_, node in defaults_of(function.args):
        if "Argument(" in type_ + ast.unparse(node):
            continue
        value = node.args[0] if isinstance(node, ast.Call) and node.args else node
        name, type_ = name.replace("_", "-"), type_.removeprefix("Annotated[").split(",")[0]
        if type_ == "bool":
            source.add_example(f"no-{name}" if source.literal(value) is True else name, FLAG)
        else:
            add_option(source, name, type_, source.literal(value))


def defaults_of(args: ast.arguments) -> list[tuple[str, str, ast.expr]]:
    """The name, annotation and default of each argument of a function that has a default."""
    positional = [*args.posonlyargs, *args.args]
    pairs = [
        *zip(positional[len(positional) - len(args.defaults) :], args.defaults, strict=True),
        *zip(args.kwonlyargs, args.kw_defaults, strict=True),
    ]
    return [
        (argument.arg, "" if argument.annotation is None else ast.unparse(argument.annotation), default)
        for argument, default in pairs
        if default is not None
    ]


def add_option(source: Source, name: str, type_: str, default: Any, choices: Any = None) -> None:
    """Add an option with a value as an example: its choices, or values around its default."""
    if isinstance(choices, list | tuple):
        values = {"values": [*choices], **({"default": default} if default in choices else {})}
        source.add_example(name, values)
    elif isinstance(default, bool):
        source.add_example(name, {"values": [True, False], "default": default})
    elif isinstance(default, list | tuple):
        source.add_example(name, {"values": [list(default)]})
    elif isinstance(default, str):
        source.add_example(name, default)
    elif type(default) not in (int, float) and not re.search(r"\b(int|float)\b", type_):
        source.notes.append(f"{name} has no default: for example {name}: {{values: [...]}}")
    elif type(default) not in (int, float) or default <= 0:
        is_integer = re.search(r"\bint\b", type_)
        source.add_example(name, {"min": 1, "max": 10} if is_integer else {"min": 0.0, "max": 1.0})
    elif isinstance(default, int) and not type_.endswith("float"):
        source.add_example(name, {"min": max(1, default // 2), "max": default * 2, "default": default})
    else:  # two decades; without the last digits of the product, for 0.0003 * 10 is 0.003
        bounds = {"min": float(f"{default / 10:.6g}"), "max": float(f"{default * 10:.6g}")}
        source.add_example(name, {**bounds, "log": True, "default": float(default)})
