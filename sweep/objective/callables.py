"""Finds what the names of a Python module are bound to, and whether these can be called with a trial."""

from __future__ import annotations

import ast

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
