"""`Source`: the parameters and metrics in the source of an objective, and helpers to read them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sweep.sweepfile.declared_parameters import Parameters

_PARAMETERS: TypeAdapter[Any] = TypeAdapter(Parameters)


@dataclass
class Source:
    """The information in the source of an objective.

    Attributes:
        key: the key of the sweep file for it, `objective` or `program`.
        target: the value of that key.
        parameters: the parameters whose values or bounds are literals, as in a sweep file.
        examples: the other parameters, with values that are only examples.
        metrics: the names under which values are reported or returned.
        has_suggestions: whether the objective calls `trial.suggest_...`.
        notes: messages about what could not be read.
    """

    key: str
    target: str
    parameters: dict[str, Any] = field(default_factory=dict)
    examples: dict[str, Any] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    has_suggestions: bool = False
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, values: Any, example: Any = None) -> None:
        """Add a parameter, or its example if its values are None or invalid."""
        try:
            _PARAMETERS.validate_python({name: {} if values is None else values})
        except ValidationError:
            self.examples.setdefault(name, example or {"min": 0.0, "max": 1.0})
        else:
            self.parameters.setdefault(name, values)


def literal(node: ast.AST | None) -> Any:
    """The value of a literal; None for anything else."""
    try:
        return None if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def arguments_of(call: ast.Call, names: Iterable[str] = ()) -> dict[str | None, ast.expr]:
    """The arguments of a call by name; `names` are those of its positional arguments."""
    return {
        **dict(zip(names, call.args, strict=False)),
        **{keyword.arg: keyword.value for keyword in call.keywords},
    }


def in_order(nodes: Iterable[ast.AST]) -> list[Any]:
    """All descendants of some nodes, in the order of the source."""
    descendants = (node for root in nodes for node in ast.walk(root) if hasattr(node, "lineno"))
    return sorted(descendants, key=lambda node: (node.lineno, node.col_offset))
