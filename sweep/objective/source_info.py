"""`Source`: what `sweep init` finds in the source of an objective or a script, and helpers to read it."""

from __future__ import annotations

import ast
import copy
import operator
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sweep.sweepfile.declared_parameters import Parameters

_PARAMETERS: TypeAdapter[Any] = TypeAdapter(Parameters)
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


@dataclass
class Source:
    """The information in the source of an objective or a script.

    Attributes:
        key: the key of the sweep file for it, `objective` or `program`.
        target: the value of that key.
        to_do: what the user must change in the source before `target` exists; empty if it does.
        command: the sweep file's `command`; empty for the default.
        parameters: the parameters whose values or bounds the objective declares, as in a sweep file.
        examples: the other parameters, with values that are only examples.
        metrics: the names under which values are reported or returned.
        study: the entries of the sweep file that are in the calls of a study: `metric`, `sampler` and others.
        has_suggestions: whether the objective calls `trial.suggest_...`.
        notes: messages about what could not be read.
        bound_once: the expressions of names that mean the same wherever they are used.
    """

    key: str
    target: str
    to_do: str = ""
    command: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    examples: dict[str, Any] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    study: dict[str, Any] = field(default_factory=dict)
    has_suggestions: bool = False
    notes: list[str] = field(default_factory=list)
    bound_once: dict[str, ast.expr] = field(default_factory=dict)

    def add(self, name: str, values: Any, example: Any = None) -> None:
        """Add a parameter that the objective declares, or an example if its values are not certain."""
        others = self.parameters.get(name, values)
        if others != values:
            del self.parameters[name]
            self.notes.append(f"{name} has several ranges or choices")
            self.examples[name] = others
        elif name in self.examples or values is None or not _is_valid(name, values):
            self.add_example(name, example)
        else:
            self.parameters[name] = values

    def add_example(self, name: str, values: Any) -> None:
        """Add a parameter whose values are only an example."""
        is_valid = values is not None and _is_valid(name, values)
        self.examples.setdefault(name, values if is_valid else {"min": 0.0, "max": 1.0})

    def literal(self, node: ast.AST | None) -> Any:
        """The value of a literal, which can contain constants and simple sums; None for anything else."""
        if node is None:
            return None
        try:
            return ast.literal_eval(_Evaluated(self.bound_once).visit(copy.deepcopy(node)))
        except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError, RecursionError):
            return None

    def resolve(self, node: ast.expr | None) -> ast.expr | None:
        """The expression that a name stands for; any other expression itself."""
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(node, ast.Name) or node.id not in self.bound_once:
                break
            node = self.bound_once[node.id]
        return node


_LONGEST_CHAIN = 10
"""Names that stand for names."""


class _Evaluated(ast.NodeTransformer):
    """Replaces names by their expressions, and sums and products by their results."""

    def __init__(self, bound_once: dict[str, ast.expr], depth: int = 0) -> None:
        self._bound_once = bound_once
        self._depth = depth

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self._bound_once.get(node.id)
        if value is None or self._depth >= _LONGEST_CHAIN:
            return node
        return _Evaluated(self._bound_once, self._depth + 1).visit(copy.deepcopy(value))  # type: ignore[no-any-return]

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.BinOp(
                left=ast.Constant(value=int() | float() as left),
                op=op,
                right=ast.Constant(value=int() | float() as right),
            ) if type(op) in _OPERATORS and abs(right) < 1000:
                return ast.Constant(_OPERATORS[type(op)](left, right))
            case ast.BinOp(
                left=ast.List(elts=elements), op=ast.Mult(), right=ast.Constant(value=int(count))
            ) if count < 1000:
                return ast.List(elements * count, ast.Load())
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(
                func=ast.Name(id="int" | "float" as name), args=[ast.Constant(value=int() | float() as value)]
            ):
                return ast.Constant(int(value) if name == "int" else float(value))
        return node


def _is_valid(name: str, values: Any) -> bool:
    try:
        _PARAMETERS.validate_python({name: values})
    except ValidationError:
        return False
    return True


def bound_once(tree: ast.Module) -> dict[str, ast.expr]:
    """The expressions of the names that a module binds exactly once in all of its scopes, by assignment."""
    counts: Counter[str] = Counter()
    values: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                counts[name] += 1
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                counts[name] += 1
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                counts.update(alias.asname or alias.name.split(".")[0] for alias in aliases)
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                values[name] = value
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=elements)):
                pairs = zip(targets, elements, strict=False)
                values |= {target.id: value for target, value in pairs if isinstance(target, ast.Name)}
    return {name: value for name, value in values.items() if counts[name] == 1}


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


def imports_of(tree: ast.Module) -> dict[str, str]:
    """What the names that a module imports stand for, as dotted names."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                found |= {
                    alias.asname or alias.name.split(".")[0]: alias.name
                    if alias.asname
                    else alias.name.split(".")[0]
                    for alias in aliases
                }
            case ast.ImportFrom(module=str(module), names=aliases):
                found |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in aliases}
    return found


def dotted_name(node: ast.AST, imports: dict[str, str]) -> str:
    """The full name of a function or class that an expression names; empty for other expressions."""
    match node:
        case ast.Name(id=name):
            return imports.get(name, name)
        case ast.Attribute(value=owner, attr=name) if prefix := dotted_name(owner, imports):
            return f"{prefix}.{name}"
    return ""
