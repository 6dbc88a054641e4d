"""Finds the function of a file that is its objective."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass

from sweep.errors import InputError
from sweep.objective.callables import Bindings, bindings_of, required_arguments
from sweep.objective.source_study import StudyCalls, is_main_guard
from sweep.sweepfile.types import short_repr

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class FoundObjective:
    """The objective of a file.

    Args:
        name: its name at the top level of the file, or the name that it should get there.
        study: the study that optimizes it, if the file has one.
        to_do: what the user must change so that it has that name; empty if it has.
        function: the function that is called, if it is known without the study.
    """

    name: str
    study: StudyCalls | None = None
    to_do: str = ""
    function: str = ""


def find_objective(tree: ast.Module, place: str, studies: list[StudyCalls]) -> FoundObjective | None:
    """Find the objective of a file; None if there is none, so that the file is a script.

    What a file passes to `study.optimize` is its objective. Otherwise it is the function that takes a trial
    and that no other such function uses.

    Raises:
        InputError: several functions can be the objective.
    """
    bindings = bindings_of(tree)
    if studies:
        imported = [node for node in tree.body if not is_main_guard(node)]
        top_level = bindings_of(ast.Module(imported, type_ignores=[]))
        found = [_passed_to_study(study, tree, top_level, place) for study in studies]
        _check_single_study(found, place)
        return found[0]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and takes_trial(node.args)]
    used = {
        node.id
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id != function.name
    }
    unused = [function for function in functions if function.name not in used] or functions
    complete = [function.name for function in unused if len(required_arguments(function.args)) == 1]
    _check_single(complete, place)
    if complete:
        return FoundObjective(complete[0])
    if len(unused) != 1:
        return None
    name, required = unused[0].name, required_arguments(unused[0].args)
    others = ", ".join(f"{each}=..." for each in required if each != "trial")
    bound = _free_name(bindings)
    return FoundObjective(
        bound,
        None,
        f"{name} takes more than a trial: add {bound} = functools.partial({name}, {others})",
        name,
    )


def takes_trial(args: ast.arguments) -> bool:
    """Whether a function has a required argument that is a trial by its name or annotation."""
    required = required_arguments(args)
    return any(
        argument.arg == "trial"
        or (argument.annotation and ast.unparse(argument.annotation).endswith("Trial"))
        for argument in (*args.posonlyargs, *args.args)
        if argument.arg in required
    )


def _check_single(names: list[str], place: str) -> None:
    if len(names) > 1:
        raise InputError(f"{place}: {' and '.join(names)} take a trial; write {place}:{names[0]}")


def _check_single_study(found: list[FoundObjective], place: str) -> None:
    if all(not each.to_do for each in found):
        _check_single(list(dict.fromkeys(each.name for each in found)), place)
    elif len(found) > 1:
        passed = [ast.unparse(each.study.objective) for each in found if each.study is not None]
        raise InputError(
            f"{place}: {' and '.join(map(short_repr, passed))} are optimized; give one of them a name at the "
            f"top level, and write {place}:NAME"
        )


def _passed_to_study(study: StudyCalls, tree: ast.Module, bindings: Bindings, place: str) -> FoundObjective:
    expression = study.objective
    match expression:
        case ast.Lambda(
            args=ast.arguments(args=[ast.arg(arg=only)]),
            body=ast.Call(func=ast.Name() as function, args=[ast.Name(id=passed)], keywords=[]),
        ) if only == passed:
            expression = function
    root = expression
    while isinstance(root, ast.Attribute):
        root = root.value
    text = ast.unparse(expression)
    if isinstance(root, ast.Name) and root.id in bindings:
        return FoundObjective(text, study)
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) if name == text:
                to_do = f"{name} is inside a function: move it to the top level of {place}"
                return FoundObjective(name, study, to_do)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == text:
                to_do = f"move this to the top level of {place}: {name} = {ast.unparse(value)}"
                return FoundObjective(name, study, to_do)
    name = _free_name(bindings)
    if isinstance(root, ast.Name):
        return FoundObjective(name, study, f"give {text} a name at the top level of {place}")
    missing = " and ".join(_unknown_names(expression, bindings))
    where = f"{place}, where {missing} must be defined first" if missing else place
    return FoundObjective(name, study, f"add at the top level of {where}: {name} = {text}")


def _unknown_names(expression: ast.expr, bindings: Bindings) -> list[str]:
    """The names that an expression uses and that do not exist at the top level."""
    nodes = list(ast.walk(expression))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    used = dict.fromkeys(node.id for node in nodes if isinstance(node, ast.Name))
    return [name for name in used if name not in own and name not in bindings and not hasattr(builtins, name)]


def _free_name(bindings: Bindings) -> str:
    return next(name for name in ("objective", "tuned", "tuned_objective") if name not in bindings)
