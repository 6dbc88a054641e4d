"""What a piece of source says by itself: values, words and names, in Python's syntax tree."""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterator
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef


UNKNOWN: Any = object()
"""Stands for a value that only running the code would tell."""


def constants_of(tree: ast.Module) -> dict[str, Any]:
    """The values that top-level names have for good."""
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            found[name] = UNKNOWN if name in found else value_of(node.value, found)
    return found


_COMPUTE: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def value_of(node: ast.expr | None, constants: dict[str, Any]) -> Any:
    """The value of an expression that consists of literals, known names and sums of them, or `UNKNOWN`."""
    match node:
        case None:
            return UNKNOWN
        case ast.Name(id=name):
            return constants.get(name, UNKNOWN)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [value_of(item, constants) for item in items]
            return UNKNOWN if UNKNOWN in values else values
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _COMPUTE:
            a, b = value_of(left, constants), value_of(right, constants)
            if all(isinstance(one, (int, float)) and abs(one) < 1e6 for one in (a, b)) and (
                not isinstance(op, ast.Pow) or abs(b) <= 64
            ):
                try:
                    result = _COMPUTE[type(op)](a, b)
                except (ArithmeticError, ValueError):
                    return UNKNOWN
                return result if isinstance(result, (int, float)) else UNKNOWN
            return UNKNOWN
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
    return value if value is None or isinstance(value, (bool, int, float, str, list, dict)) else UNKNOWN


def keywords_of(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def arguments_of(call: ast.Call, names: tuple[str, ...]) -> dict[str, ast.expr]:
    """Arguments by name, positional ones too."""
    return {**dict(zip(names, call.args, strict=False)), **keywords_of(call)}


def text_of(node: ast.expr | None) -> str | None:
    return (
        node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip()
        else None
    )


def keys_of(node: ast.expr | None) -> list[str]:
    """The words that are keys of a mapping written out: `{"loss": ...}`, `dict(loss=...)`."""
    match node:
        case ast.Dict(keys=keys):
            return [text for key in keys if (text := text_of(key))]
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return [keyword.arg for keyword in keywords if keyword.arg]
    return []


def in_order(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes in the source's order."""
    return iter(
        sorted(ast.walk(scope), key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))
    )
