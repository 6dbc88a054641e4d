"""`Grid`: all configurations of a search space in order, computed on access."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

from sweep.errors import EntryError
from sweep.space.variables import Variable
from sweep.sweepfile.parameters import Constant
from sweep.sweepfile.tree import FlatParameter

_MAX_CHECKED = 100_000
"""The size up to which every configuration is checked against the constraints."""


class _Run(NamedTuple):
    """Consecutive values of a parameter that fulfil the same conditions of other parameters.

    Args:
        start: the index of the first of them.
        length: how many there are.
        value: the value that conditions name, or `_UNNAMED`.
    """

    start: int
    length: int
    value: Any


_UNNAMED = object()
"""Stands for the values that no condition names: no value is equal to it."""


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
        self._deciding: dict[str, list[Any]] = {}
        """Parameters on which others depend: their values can have different numbers of configurations."""
        for node in nodes.values():
            for condition in node.conditions:
                self._deciding.setdefault(condition.name, []).extend(condition.values)
        self._last_use = {
            condition.name: at for at, (_, node) in enumerate(self._nodes) for condition in node.conditions
        }
        self._runs = {
            name: _runs(variable, self._deciding.get(name, ())) for name, variable in variables.items()
        }
        self._counts: dict[tuple[int, tuple[tuple[str, str], ...]], int] = {}

    @cached_property
    def size(self) -> int:
        """The number of configurations.

        Raises:
            EntryError: there are constraints, and too many configurations to check each.
        """
        return len(self._feasible) if self._is_feasible is not None else self.total

    @cached_property
    def total(self) -> int:
        """The number of configurations, including those that violate a constraint."""
        return self._count(0, {})

    @property
    def can_be_checked(self) -> bool:
        """Whether there are few enough configurations to check each against the constraints, if any."""
        return self._is_feasible is None or self.total <= _MAX_CHECKED

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
        if not self.can_be_checked:
            raise EntryError(
                "constraints",
                f"the grid has {self.total} configurations, too many to check each (up to {_MAX_CHECKED}); "
                "use another sampler, such as random, or fewer values",
            )
        assert self._is_feasible is not None
        return [index for index in range(self.total) if self._is_feasible(self._values(index))]

    def _count(self, at: int, params: Mapping[str, Any]) -> int:
        """The number of configurations of the nodes from `at` on, given the values of the earlier ones."""
        used = [(name, repr(value)) for name, value in params.items() if self._last_use[name] >= at]
        key = at, tuple(sorted(used))
        if key not in self._counts:
            self._counts[key] = self._count_from(at, params)
        return self._counts[key]

    def _count_from(self, at: int, params: Mapping[str, Any]) -> int:
        # A recursion for every parameter would be too deep: only values that differ in their effect need one.
        count = 1
        for position in range(at, len(self._nodes)):
            name, node = self._nodes[position]
            if not node.is_active(params):
                continue
            if isinstance(node.parameter, Constant):
                params = self._with(params, name, node.parameter.value)
                continue
            runs = self._runs[name]
            if len(runs) > 1:
                rest = [self._count(position + 1, self._with(params, name, run.value)) for run in runs]
                return count * sum(run.length * each for run, each in zip(runs, rest, strict=True))
            count *= runs[0].length
            params = self._with(params, name, runs[0].value)
        return count

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
                params = self._with(params, name, values[name])
                continue
            for run in self._runs[name]:
                after = self._with(params, name, run.value)
                each = self._count(at + 1, after)
                if index < run.length * each:
                    break
                index -= run.length * each
            position, index = divmod(index, each)
            values[name] = self._axes[name][run.start + position]
            params = after
        return values


def _runs(variable: Variable, named: Iterable[Any]) -> list[_Run]:
    """The values of a variable in order, which can be billions, as runs.

    Args:
        variable: the variable.
        named: the values that conditions of other parameters name.
    """
    found: dict[int, Any] = {}
    for value in named:
        with suppress(ValueError):  # not in a grid, although the parameter can have it
            found[variable.position(value)] = value
    runs: list[_Run] = []
    start = 0
    for position in sorted(found):
        if position > start:
            runs.append(_Run(start, position - start, _UNNAMED))
        runs.append(_Run(position, 1, found[position]))
        start = position + 1
    size = len(variable.axis or ())
    if size > start:
        runs.append(_Run(start, size - start, _UNNAMED))
    return runs
