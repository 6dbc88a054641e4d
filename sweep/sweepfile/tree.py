"""The tree of parameters and groups, flattened: dotted names, and the conditions of each parameter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import nearest, suggestion
from sweep.sweepfile.parameter_forms import Group, Parameter
from sweep.sweepfile.parameters import Choice, Constant, Leaf, Range
from sweep.sweepfile.types import invalid, same_value, short_repr


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
    """

    parameter: Leaf
    conditions: tuple[Condition, ...] = ()

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


def flatten(parameters: Mapping[str, Parameter]) -> dict[str, FlatParameter]:
    """All parameters by their dotted names, in the file's order.

    The name in a condition is looked up in the group of the condition first, then in the enclosing groups.

    Raises:
        PydanticCustomError: two parameters have the same name, or a condition is invalid.
    """
    leaves: dict[str, tuple[Leaf, _Path, list[tuple[str, _Path]]]] = {}
    conditions: dict[_Path, Mapping[str, tuple[Any, ...]]] = {}

    def visit(
        level: Mapping[str, Parameter], prefix: str, path: _Path, above: list[tuple[str, _Path]]
    ) -> None:
        for name, parameter in level.items():
            full, here = prefix + name, (*path, name)
            inherited = above
            if parameter.when:
                conditions[here] = parameter.when
                inherited = [*above, (prefix, here)]
            if isinstance(parameter, Group):
                visit(parameter.parameters, f"{full}.", (*here, "parameters"), inherited)
            elif full in leaves:
                raise invalid(f"the name {full!r} is a duplicate; rename one", key=here)
            else:
                leaves[full] = (parameter, here, inherited)

    visit(parameters, "", (), [])
    flat = {}
    for name, (leaf, _, sources) in leaves.items():
        leaf_conditions: list[Condition] = []
        for prefix, path in sources:
            for other, values in conditions[path].items():
                target = _resolve(other, prefix, leaves, (*path, "when", other))
                _check_values(target, leaves[target][0], values, (*path, "when", other))
                leaf_conditions.append(Condition(target, values))
        flat[name] = FlatParameter(leaf, tuple(leaf_conditions))
    return flat


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
            near = nearest(value, map(str, parameter.values)) if isinstance(parameter, Choice) else None
            hint = parameter.values_text if near in (None, str(value)) else f"did you mean {near!r}?"
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


def group_names(parameters: Mapping[str, Parameter], prefix: str = "") -> list[str]:
    """The dotted names of all groups."""
    names = []
    for name, parameter in parameters.items():
        if isinstance(parameter, Group):
            names += [prefix + name, *group_names(parameter.parameters, f"{prefix}{name}.")]
    return names
