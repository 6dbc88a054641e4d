"""The parameters of a sweep without their groups: dotted names, and what each depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.errors import nearest, suggestion
from sweep.sweepfile.parameters import Choice, Group, Leaf, Parameter, can_be, reach
from sweep.sweepfile.types import invalid, same, show


@dataclass(frozen=True)
class Condition:
    """Another parameter has one of some values.

    Args:
        name: of the other parameter.
        values: which it may have.
    """

    name: str
    values: tuple[Any, ...]

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether it does; a parameter that is not there has none of them."""
        return self.name in params and any(same(params[self.name], value) for value in self.values)


@dataclass(frozen=True)
class Node:
    """A parameter that is no group.

    Args:
        parameter: what it is.
        conditions: on which it is there: its own and those of its groups.
    """

    parameter: Leaf
    conditions: tuple[Condition, ...] = ()

    def is_active(self, params: Mapping[str, Any]) -> bool:
        """Whether it is there beside these."""
        return all(condition.holds(params) for condition in self.conditions)


_Path = tuple[str | int, ...]


def flatten(parameters: Mapping[str, Parameter]) -> dict[str, Node]:
    """All parameters by their dotted names, in the file's order.

    A name in a condition is looked for in the group where it stands first, then in the groups around it.

    Raises:
        PydanticCustomError: a name is there twice, or a condition makes no sense.
    """
    found: dict[str, tuple[Leaf, _Path, list[tuple[str, _Path]]]] = {}
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
            elif full in found:
                raise invalid(f"the name {full!r} is there twice; rename one", key=here)
            else:
                found[full] = (parameter, here, inherited)

    visit(parameters, "", (), [])
    nodes = {}
    for name, (leaf, _, sources) in found.items():
        own: list[Condition] = []
        for prefix, path in sources:
            for other, values in conditions[path].items():
                target = _resolve(other, prefix, found, (*path, "when", other))
                _check_values(target, found[target][0], values, (*path, "when", other))
                own.append(Condition(target, values))
        nodes[name] = Node(leaf, tuple(own))
    return nodes


def _resolve(name: str, prefix: str, known: Mapping[str, Any], path: _Path) -> str:
    while True:
        if prefix + name in known:
            return prefix + name
        if not prefix:
            raise invalid(f"there is no parameter {name!r}; {suggestion(name, known)}", key=path)
        prefix = prefix[:-1].rpartition(".")[0]
        prefix = f"{prefix}." if prefix else ""


def _check_values(name: str, parameter: Leaf, values: tuple[Any, ...], path: _Path) -> None:
    for value in values:
        if not can_be(parameter, value):
            near = nearest(value, map(str, parameter.values)) if isinstance(parameter, Choice) else None
            hint = reach(parameter) if near in (None, str(value)) else f"did you mean {near!r}?"
            raise invalid(f"{name} is never {show(value)}; {hint}", key=path)


def in_order(nodes: Mapping[str, Node]) -> list[str]:
    """Names such that each parameter comes after those it depends on; otherwise in the file's order.

    Raises:
        PydanticCustomError: some depend on each other in a circle.
    """
    order: list[str] = []
    above: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in above:
            circle = [*above[above.index(name) :], name]
            raise invalid(
                f"conditions go in a circle: {' depends on '.join(circle)}; take one of them out",
                key=tuple(_path_of(circle[0])),
            )
        above.append(name)
        for condition in nodes[name].conditions:
            visit(condition.name)
        above.pop()
        order.append(name)

    for name in nodes:
        visit(name)
    return order


def _path_of(name: str) -> list[str]:
    """The nearest key that is sure to be in the file: groups may have dots in their own names."""
    return [name.split(".")[0]]


def group_names(parameters: Mapping[str, Parameter], prefix: str = "") -> list[str]:
    """The dotted names of all groups."""
    found = []
    for name, parameter in parameters.items():
        if isinstance(parameter, Group):
            found += [prefix + name, *group_names(parameter.parameters, f"{prefix}{name}.")]
    return found
