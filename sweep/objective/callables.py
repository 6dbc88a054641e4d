"""Whether an object, or what a name of a Python module is bound to, can be called with a trial."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from typing import Any

_ASYNC = "is async, so that a call returns before it has run; write a function that calls asyncio.run"
_GENERATOR = "contains yield, so that a call runs nothing; return the metric, and report it with trial.report"

Bindings = dict[str, list[ast.AST]]


def bindings_of(tree: ast.Module) -> Bindings:
    """The nodes that can bind each name of a module: definitions, assigned values, imports and others.

    A name with exactly one node always means what that node says.
    """
    bindings: Bindings = {}
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bindings.setdefault(node.name, []).append(node)
            case ast.Lambda():
                pass
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                bindings.setdefault(name, []).append(value)
                todo.append(value)
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    bindings.setdefault(alias.asname or alias.name.split(".")[0], []).append(node)
            case _:
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    bindings.setdefault(node.id, []).append(node)
                todo += ast.iter_child_nodes(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            for name in node.names:
                bindings.setdefault(name, []).append(node)
    return bindings


def why_no_objective(name: str, bindings: Bindings) -> str | None:
    """Why a name of a module cannot be called with a trial; None if it can be, or if that is uncertain."""
    match bindings.get(name):
        case [ast.ClassDef() as node] if _makes_instances(node):
            return f"{name} is a class; name an instance of it, or a function"
        case [ast.AsyncFunctionDef(decorator_list=[])]:
            return f"{name} {_ASYNC}"
        case [ast.FunctionDef(decorator_list=[]) as node] if any(map(_is_yield, _own_nodes(node))):
            return f"{name} {_GENERATOR}"
        case [ast.FunctionDef(decorator_list=[], args=args)] | [ast.Lambda(args=args)]:
            required = required_arguments(args)
            if not [*args.posonlyargs, *args.args] and args.vararg is None:
                return f"{name} takes no argument; it is called with the trial: write def {name}(trial)"
            if len(required) > 1:
                names = ", ".join(required)
                return f"{name} takes {len(required)} arguments ({names}); it is called with the trial only"
        case [ast.Constant() | ast.JoinedStr() | ast.List() | ast.Tuple() | ast.Dict() | ast.Set()]:
            return f"{name} is not a function; name one that takes a trial"
    return None


def why_not_called(function: Callable[..., Any]) -> str | None:
    """Why an object cannot be called with a trial; None if it can be, or if that is uncertain."""
    if isinstance(function, type) and any("__call__" in vars(base) for base in function.__mro__):
        return "is a class; give an instance of it, or a function"
    called = (function, type(function).__call__)
    if any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in called):
        return _ASYNC
    if any(map(inspect.isgeneratorfunction, called)):
        return _GENERATOR
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        return f"cannot be called with the trial only: {error}"
    except ValueError:  # a function in C can have no signature
        return None
    return None


def required_arguments(args: ast.arguments) -> list[str]:
    """The names of a function's arguments that have no default."""
    positional = [*args.posonlyargs, *args.args]
    required = positional[: len(positional) - len(args.defaults)]
    required += [
        argument for argument, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if not default
    ]
    return [argument.arg for argument in required]


def _makes_instances(node: ast.ClassDef) -> bool:
    """Whether calling a class can only create an instance of it, which is not a number."""
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    can_be_special = node.decorator_list or node.keywords or methods & {"__new__", "__float__", "__index__"}
    return (not node.bases or "__call__" in methods) and not can_be_special


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body, without those of functions and classes in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _own_nodes(child)


def _is_yield(node: ast.AST) -> bool:
    return isinstance(node, ast.Yield | ast.YieldFrom)
