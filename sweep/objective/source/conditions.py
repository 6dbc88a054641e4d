"""Under which conditions an objective asks for a parameter, as far as these are plain comparisons."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.objective.source.syntax import value_of


@dataclass(frozen=True)
class Condition:
    """What holds where a piece of code runs.

    Args:
        name: of a variable, or the parameter that it stands for; None if it is no plain comparison of one.
        values: what it is compared with.
        is_one: whether it is one of them, or none.
    """

    name: str | None
    values: tuple[Any, ...] = ()
    is_one: bool = True

    def about(self, parameters: Mapping[str, str]) -> Condition:
        """The same of the parameter for which its variable stands."""
        return Condition(parameters.get(self.name or ""), self.values, self.is_one)


Conditions = tuple[Condition, ...]
_UNKNOWN = Condition(None)


def calls_with_conditions(
    function: ast.AST, constants: dict[str, Any]
) -> Iterator[tuple[ast.Call, Conditions]]:
    """The calls in a function, each with what holds where it is made."""
    todo: list[tuple[ast.AST, Conditions]] = [(function, ())]
    while todo:
        node, above = todo.pop()
        if isinstance(node, ast.Call):
            yield node, above
        match node:
            case ast.If(test=test, body=body, orelse=others):
                holds = _condition(test, constants)
                todo.append((test, above))
                todo += [(each, (*above, holds)) for each in body]
                todo += [(each, (*above, _not(holds))) for each in others]
            case ast.IfExp(test=test, body=then, orelse=other):
                holds = _condition(test, constants)
                todo += [(test, above), (then, (*above, holds)), (other, (*above, _not(holds)))]
            case ast.Match(subject=subject, cases=cases):
                todo += [(subject, above), *((case, (*above, _UNKNOWN)) for case in cases)]
            case ast.For() | ast.While():
                children = ast.iter_child_nodes(node)
                todo += [(each, (*above, _UNKNOWN) if each in node.body else above) for each in children]
            case _:
                todo += [(each, above) for each in ast.iter_child_nodes(node)]


def _condition(test: ast.expr, constants: dict[str, Any]) -> Condition:
    match test:
        case ast.Compare(left=ast.Name(id=name), ops=[ast.Eq() | ast.NotEq() as op], comparators=[right]):
            values = [value_of(right, constants)]
            is_one = isinstance(op, ast.Eq)
        case ast.Compare(left=ast.Name(id=name), ops=[ast.In() | ast.NotIn() as op], comparators=[right]):
            values = value_of(right, constants)
            is_one = isinstance(op, ast.In)
        case _:
            return _UNKNOWN
    known = isinstance(values, list) and all(isinstance(value, (str, int, float)) for value in values)
    return Condition(name, tuple(values), is_one) if known else _UNKNOWN


def _not(condition: Condition) -> Condition:
    return Condition(condition.name, condition.values, not condition.is_one)


def when(asked: list[Conditions], choices: Mapping[str, list[Any]]) -> dict[str, Any] | None:
    """The sweep file's `when` of a parameter; empty if it needs none, None if that cannot be told.

    Args:
        asked: the conditions of each place where it is asked for; what they are about are parameters.
        choices: the values of parameters that are choices.
    """
    found: dict[str, list[Any]] = {}
    for conditions in asked:
        one = _values(conditions, choices)
        if not one:
            return one
        if not found:
            found = one
        elif found.keys() == one.keys() and len(one) == 1:
            ((name, values),) = one.items()
            found = {name: [value for value in choices[name] if value in values or value in found[name]]}
        elif found != one:
            return None
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in found.items()
        if len(values) < len(choices[name])
    }


def _values(conditions: Conditions, choices: Mapping[str, list[Any]]) -> dict[str, list[Any]] | None:
    """The values of other parameters under which all conditions hold; None if that cannot be told."""
    found: dict[str, list[Any]] = {}
    for condition in conditions:
        name = condition.name
        if name is None or name not in choices:
            return None
        left = found.get(name, choices[name])
        found[name] = [value for value in left if (value in condition.values) == condition.is_one]
    return found if all(found.values()) else None
