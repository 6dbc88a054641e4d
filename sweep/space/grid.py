"""`Grid`: all configurations of a search space in order, computed on access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from sweep.errors import EntryError
from sweep.space.variables import Variable
from sweep.sweepfile.parameters import Constant
from sweep.sweepfile.tree import FlatParameter

_MAX_CHECKED = 100_000
"""The size up to which every configuration is checked against the constraints."""


class Grid:
    """The configurations of a search space in which no parameter is unbounded.

    The last parameter varies fastest. An inactive parameter does not multiply the configurations.

    Args:
        nodes: all parameters, each after those it depends on.
        variables: those that are not constants.
        is_feasible: whether a configuration satisfies the constraints; None if there are none.
    """

    def __init__(
        self,
        nodes: Mapping[str, FlatParameter],
        variables: Mapping[str, Variable],
        is_feasible: Callable[[Mapping[str, Any]], bool] | None,
    ) -> None:
        self._nodes = list(nodes.items())
        self._axes = {name: variable.axis or () for name, variable in variables.items()}
        self._variables = variables
        self._is_feasible = is_feasible
        self._deciding = {condition.name for node in nodes.values() for condition in node.conditions}
        """Parameters on which others depend: their values can have different numbers of configurations."""
        self._counts: dict[tuple[int, tuple[tuple[str, str], ...]], int] = {}

    @cached_property
    def size(self) -> int:
        """The number of configurations.

        Raises:
            EntryError: there are constraints, and too many configurations to check each.
        """
        return len(self._feasible) if self._is_feasible is not None else self._count(0, {})

    def values(self, index: int) -> dict[str, Any]:
        """The configuration with this index, constants included. Larger indexes start again at the first."""
        index %= max(1, self.size)
        return self._values(self._feasible[index] if self._is_feasible is not None else index)

    def point(self, index: int) -> dict[str, Any]:
        """The same configuration, as Optuna would have sampled it."""
        values = self.values(index)
        return {
            variable.key: variable.encode(values[name])
            for name, variable in self._variables.items()
            if name in values
        }

    @cached_property
    def _feasible(self) -> list[int]:
        total = self._count(0, {})
        if total > _MAX_CHECKED:
            raise EntryError(
                "constraints",
                f"the grid has {total} configurations, too many to check each (up to {_MAX_CHECKED}); "
                "use another sampler, such as random, or fewer values",
            )
        assert self._is_feasible is not None
        return [index for index in range(total) if self._is_feasible(self._values(index))]

    def _count(self, at: int, params: Mapping[str, Any]) -> int:
        """The number of configurations of the nodes from `at` on, given the values of the earlier ones."""
        if at == len(self._nodes):
            return 1
        key = at, tuple(sorted((name, repr(value)) for name, value in params.items()))
        if key not in self._counts:
            name, node = self._nodes[at]
            if not node.is_active(params):
                self._counts[key] = self._count(at + 1, params)
            elif isinstance(node.parameter, Constant):
                self._counts[key] = self._count(at + 1, self._with(params, name, node.parameter.value))
            elif name in self._deciding:
                self._counts[key] = sum(
                    self._count(at + 1, self._with(params, name, value)) for value in self._axes[name]
                )
            else:
                self._counts[key] = len(self._axes[name]) * self._count(at + 1, params)
        return self._counts[key]

    def _with(self, params: Mapping[str, Any], name: str, value: Any) -> Mapping[str, Any]:
        return {**params, name: value} if name in self._deciding else params

    def _values(self, index: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        params: Mapping[str, Any] = {}
        for at, (name, node) in enumerate(self._nodes):
            if not node.is_active(params):
                continue
            if isinstance(node.parameter, Constant):
                values[name] = node.parameter.value
            elif name in self._deciding:
                for value in self._axes[name]:
                    count = self._count(at + 1, self._with(params, name, value))
                    if index < count:
                        break
                    index -= count
                values[name] = value
            else:
                position, index = divmod(index, self._count(at + 1, params))
                values[name] = self._axes[name][position]
            params = self._with(params, name, values[name])
        return values
