"""All configurations of a search space in their order, without listing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from sweep.errors import EntryError
from sweep.space.variables import Variable
from sweep.sweepfile.parameters import Constant
from sweep.sweepfile.tree import FlatParameter

_MOST_CHECKED = 100_000
"""So many configurations are looked at one by one to see which of them fulfil the constraints."""


class Grid:
    """The configurations of a space whose parameters all have an end of values.

    The last parameter varies fastest. A parameter that is inactive multiplies nothing.

    Args:
        nodes: all parameters, each after those it depends on.
        variables: those that are no constants.
        rejecting: says which constraint a configuration does not fulfil; None if there are none.
    """

    def __init__(
        self,
        nodes: Mapping[str, FlatParameter],
        variables: Mapping[str, Variable],
        rejecting: Callable[[Mapping[str, Any]], Any] | None,
    ) -> None:
        self._nodes = list(nodes.items())
        self._axes = {name: variable.axis or () for name, variable in variables.items()}
        self._variables = variables
        self._rejecting = rejecting
        self._deciding = {condition.name for node in nodes.values() for condition in node.conditions}
        """Parameters on which others depend: what follows is not the same for each of their values."""
        self._counts: dict[tuple[int, tuple[tuple[str, str], ...]], int] = {}

    @cached_property
    def size(self) -> int:
        """How many there are.

        Raises:
            EntryError: there are constraints, and too many configurations to look at each.
        """
        return len(self._fitting) if self._rejecting is not None else self._count(0, {})

    def values(self, index: int) -> dict[str, Any]:
        """The configuration `index`, counted from 0, constants included. Behind the end they begin anew."""
        index %= max(1, self.size)
        return self._values(self._fitting[index] if self._rejecting is not None else index)

    def point(self, index: int) -> dict[str, Any]:
        """The same as Optuna would have sampled it."""
        values = self.values(index)
        return {
            variable.key: variable.encode(values[name])
            for name, variable in self._variables.items()
            if name in values
        }

    @cached_property
    def _fitting(self) -> list[int]:
        total = self._count(0, {})
        if total > _MOST_CHECKED:
            raise EntryError(
                "constraints",
                f"the grid has {total} configurations, too many to look at each (up to {_MOST_CHECKED}); "
                "use another sampler, such as random, or fewer values",
            )
        assert self._rejecting is not None
        return [index for index in range(total) if self._rejecting(self._values(index)) is None]

    def _count(self, at: int, params: Mapping[str, Any]) -> int:
        """How many ways there are to go on from node `at`, given what was decided before."""
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
        found: dict[str, Any] = {}
        params: Mapping[str, Any] = {}
        for at, (name, node) in enumerate(self._nodes):
            if not node.is_active(params):
                continue
            if isinstance(node.parameter, Constant):
                found[name] = node.parameter.value
            elif name in self._deciding:
                for value in self._axes[name]:
                    ways = self._count(at + 1, self._with(params, name, value))
                    if index < ways:
                        break
                    index -= ways
                found[name] = value
            else:
                position, index = divmod(index, self._count(at + 1, params))
                found[name] = self._axes[name][position]
            params = self._with(params, name, found[name])
        return found
