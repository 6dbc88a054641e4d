"""The tree of parameters and groups, flattened: dotted names, and the conditions of each parameter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import nearest, suggestion
from sweep.sweepfile.parameter_forms import Group, Parameter
from sweep.sweepfile.parameters import Choice, Constant, Leaf, Range
from sweep.sweepfile.types import Scalar, invalid, same_value, short_repr
from sweep.sweepfile.yaml import YAML_BOOLEANS


@dataclass(frozen=True)
class Condition:
    """The condition that another parameter has one of certain values.

    Args:
        name: the dotted name of the other parameter.
        values: the values that fulfil the condition.
    """

    name: str
    values: tuple[Any, ...]

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether the condition is fulfilled. It is not fulfilled if the other parameter is inactive."""
        return self.name in params and any(same_value(params[self.name], value) for value in self.values)


@dataclass(frozen=True)
class FlatParameter:
    """A parameter that is not a group, with the conditions of its groups.

    Args:
        parameter: the parameter.
        conditions: its own conditions and those of its groups.
        path: the names of its groups, from the outermost, and its own.
    """

    parameter: Leaf
    conditions: tuple[Condition, ...] = ()
    path: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its dotted name. In a W&B file, several parameters can have the same."""
        return ".".join(self.path)

    def is_active(self, params: Mapping[str, Any]) -> bool:
        """Whether the parameter belongs to a configuration."""
        return all(condition.holds(params) for condition in self.conditions)


def domains(parameters: Mapping[str, Parameter]) -> dict[str, tuple[float, float] | list[Any]]:
    """The bounds or the choices of the parameters that have them, by their dotted names."""
    found: dict[str, tuple[float, float] | list[Any]] = {}
    for name, node in flatten(parameters).items():
        match node.parameter:
            case Constant(value=value):
                found[name] = [value]
            case Choice(values=values):
                found[name] = list(values)
            case Range(min=low, max=high):
                found[name] = (low, high)
    return found


_Path = tuple[str | int, ...]


def entry_path(names: tuple[str, ...]) -> _Path:
    """The path of a parameter's entry in the sweep file, below the file's `parameters`.

    Args:
        names: the names of its groups, and its own.
    """
    return tuple(part for name in names for part in ("parameters", name))[1:]


def flatten(parameters: Mapping[str, Parameter]) -> dict[str, FlatParameter]:
    """All parameters by their dotted names, in the file's order.

    The name in a condition is looked up in the group of the condition first, then in the enclosing groups.
    A parameter whose dotted name is that of an earlier one (`a.b`, and `b` in the group `a`) gets a number.

    Raises:
        PydanticCustomError: a condition is invalid.
    """
    leaves: dict[str, tuple[Leaf, tuple[str, ...], list[tuple[str, _Path]]]] = {}
    conditions: dict[_Path, Mapping[str, tuple[Any, ...]]] = {}

    def visit(
        level: Mapping[str, Parameter], groups: tuple[str, ...], above: list[tuple[str, _Path]]
    ) -> None:
        prefix = "".join(f"{group}." for group in groups)
        for name, parameter in level.items():
            names = (*groups, name)
            inherited = above
            if parameter.when:
                here = entry_path(names)
                conditions[here] = parameter.when
                inherited = [*above, (prefix, here)]
            if isinstance(parameter, Group):
                visit(parameter.parameters, names, inherited)
            else:
                leaves[_free(prefix + name, leaves)] = (parameter, names, inherited)

    visit(parameters, (), [])
    flat = {}
    for name, (leaf, names, sources) in leaves.items():
        leaf_conditions: list[Condition] = []
        for prefix, path in sources:
            for other, values in conditions[path].items():
                target = _resolve(other, prefix, leaves, (*path, "when", other))
                _check_values(target, leaves[target][0], values, (*path, "when", other))
                leaf_conditions.append(Condition(target, values))
        flat[name] = FlatParameter(leaf, tuple(leaf_conditions), names)
    return flat


def _free(name: str, used: Collection[str]) -> str:
    free, number = name, 2
    while free in used:
        free, number = f"{name} ({number})", number + 1
    return free


def _resolve(name: str, prefix: str, names: Collection[str], path: _Path) -> str:
    while True:
        if prefix + name in names:
            return prefix + name
        if not prefix:
            raise invalid(f"there is no parameter {name!r}; {suggestion(name, names)}", key=path)
        prefix = prefix[:-1].rpartition(".")[0]
        prefix = f"{prefix}." if prefix else ""


def _check_values(name: str, parameter: Leaf, values: tuple[Any, ...], path: _Path) -> None:
    for value in values:
        if not parameter.allows(value):
            choices = parameter.values if isinstance(parameter, Choice) else []
            scalars = [choice for choice in choices if isinstance(choice, Scalar)]
            near = nearest(value, map(str, scalars))
            if near not in (None, str(value)):
                hint = f"did you mean {near!r}?"
            else:
                hint = parameter.values_text
                if len(scalars) < len(choices):
                    hint += "; a condition cannot name a list or a mapping"
            if isinstance(value, bool) and isinstance(parameter, Choice):
                hint += "".join(
                    f"; put {text} in quotes"
                    for text in parameter.values
                    if isinstance(text, str) and text.lower() in YAML_BOOLEANS[value]
                )
            raise invalid(f"{name} is never {short_repr(value)}; {hint}", key=path)


def dependency_order(parameters: Mapping[str, FlatParameter]) -> list[str]:
    """The names, sorted so that each parameter follows those it depends on, otherwise in the file's order.

    Raises:
        PydanticCustomError: the conditions form a cycle.
    """
    order: list[str] = []
    above: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in above:
            cycle = [*above[above.index(name) :], name]
            # A group can have dots in its own name: only the first part is certain to be a key of the file.
            raise invalid(
                f"conditions form a cycle: {' depends on '.join(cycle)}; remove one of them",
                key=(cycle[0].split(".")[0],),
            )
        above.append(name)
        for condition in parameters[name].conditions:
            visit(condition.name)
        above.pop()
        order.append(name)

    for name in parameters:
        visit(name)
    return order
