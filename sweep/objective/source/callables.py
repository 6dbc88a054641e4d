"""What a module binds a name to, as far as its syntax tells, and whether a trial can be given to it."""

from __future__ import annotations

import ast
import copy

from sweep.objective.source.syntax import Function

Bindings = dict[str, list[ast.AST]]


def bindings_of(tree: ast.Module) -> Bindings:
    """What binds each name of a module: a definition, the value of an assignment, or whatever else may do it.

    A name that has a single definition here means nothing else.
    """
    found: Bindings = {}
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.setdefault(node.name, []).append(node)
            case ast.Lambda():
                pass
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                found.setdefault(name, []).append(value)
                todo.append(value)
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    found.setdefault(alias.asname or alias.name.split(".")[0], []).append(node)
            case _:
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found.setdefault(node.id, []).append(node)
                todo += ast.iter_child_nodes(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            for name in node.names:
                found.setdefault(name, []).append(node)
    return found


def why_no_objective(name: str, bindings: Bindings) -> str | None:
    """Why a trial cannot be given to what a name means; None if it can, or if that is not sure.

    Args:
        name: one of the module.
        bindings: all that the module has.
    """
    match bindings.get(name):
        case [ast.ClassDef() as node] if _is_plain(node):
            return f"{name} is a class; name an instance of it, or a function"
        case [ast.FunctionDef(decorator_list=[], args=args)]:
            return _why_not_taken(name, args)
        case [ast.Lambda(args=args)]:
            return _why_not_taken(name, args)
        case [ast.Constant() | ast.JoinedStr() | ast.List() | ast.Tuple() | ast.Dict() | ast.Set()]:
            return f"{name} is no function; name one that takes a trial"
    return None


def _is_plain(node: ast.ClassDef) -> bool:
    """Whether to call a class is to make an instance of it, which is no number."""
    methods = {each.name for each in node.body if isinstance(each, Function)}
    has_only_own = not node.bases or "__call__" in methods
    return (
        has_only_own
        and not node.decorator_list
        and not node.keywords
        and not methods & {"__new__", "__float__", "__index__"}
    )


def _why_not_taken(name: str, args: ast.arguments) -> str | None:
    """Whether a function can be called with one argument."""
    taken = [*args.posonlyargs, *args.args]
    required = [each.arg for each in taken[: len(taken) - len(args.defaults)]]
    required += [
        each.arg for each, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None
    ]
    if not taken and args.vararg is None:
        return f"{name} takes no argument; it is called with the trial: write def {name}(trial)"
    count, names = len(required), ", ".join(required)
    if count > 1:
        return f"{name} takes {count} arguments ({names}); it is called with the trial alone"
    return None


def function_of(name: str, bindings: Bindings) -> Function | None:
    """The function that is called if a name is, with the trial as its first argument; None if unsure.

    It may be bound to a function, a lambda, a `partial` of a function, or an instance of a class with
    `__call__`.
    """
    match bindings.get(name):
        case [ast.FunctionDef() | ast.AsyncFunctionDef() as node]:
            return node
        case [ast.Lambda(args=args, body=body) as node]:
            made = ast.FunctionDef(name, args, [ast.copy_location(ast.Return(body), node)], [])
            return ast.copy_location(made, node)
        case [ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial")) as call]:
            return _partial(call, bindings)
        case [ast.Call(func=ast.Name(id=made))]:
            match bindings.get(made):
                case [ast.ClassDef() as class_]:
                    methods = [each for each in class_.body if isinstance(each, Function)]
                    return next((each for each in methods if each.name == "__call__"), None)
    return None


def _partial(call: ast.Call, bindings: Bindings) -> Function | None:
    match call.args:
        case [ast.Name(id=name), *given]:
            function = function_of(name, bindings)
        case _:
            return None
    if function is None or any(isinstance(each, ast.Starred) for each in given):
        return None
    rest = copy.copy(function)
    rest.args = copy.copy(function.args)
    rest.args.posonlyargs = []
    rest.args.args = [*function.args.posonlyargs, *function.args.args][len(given) :]
    return rest
