"""How a parameter appears in TensorBoard's HParams tab: its type, its domain, and a trial's value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.space.space import SearchSpace
from sweep.space.variables import variable
from sweep.sweepfile.parameters import Choice, Constant, Distribution, Leaf
from sweep.tracking.hparams import Cell, Column, cell, kind_of

_MOST_DISCRETE = 9
"""With ten or more numbers to choose from, TensorBoard's filter becomes a regular expression, which its
server refuses for numbers (HTTP 400): from there on an interval."""
INACTIVE = "(inactive)"
"""What stands for a parameter that a trial lacks, where words can stand: the parallel coordinates view drops
a trial that has nothing in a column."""


def columns(space: SearchSpace) -> dict[str, Column]:
    """The column of each parameter, by its name."""
    return {
        name: column(name, parameter, is_conditional=space.is_optional(name))
        for name, parameter in space.parameters.items()
    }


def cells(columns: Mapping[str, Column], params: Mapping[str, Any]) -> dict[str, Cell]:
    """A trial's row."""
    row = {name: cell(params[name], column.kind) for name, column in columns.items() if name in params}
    for name, column in columns.items():
        if name not in params and column.kind == "string":
            row[name] = INACTIVE
    return row


def column(name: str, parameter: Leaf, is_conditional: bool = False) -> Column:
    """The column of one parameter.

    Its type comes from all values it can take: one column with words and numbers cannot be sorted.

    Args:
        name: the parameter's.
        parameter: what it is.
        is_conditional: whether some trials lack it.
    """
    if isinstance(parameter, Constant):
        return _discrete(name, [parameter.value], is_conditional, differs=is_conditional)
    if isinstance(parameter, Choice):
        numbers = parameter.values
        if kind_of(numbers) == "float" and len(numbers) > _MOST_DISCRETE:
            return Column(name, "float", (float(min(numbers)), float(max(numbers))), interval=True)
        return _discrete(name, numbers, is_conditional, differs=len(numbers) > 1 or is_conditional)
    if isinstance(parameter, Distribution):
        low, high = _reach(name, parameter)
        return Column(name, "float", (low, high), interval=True)
    others = parameter.alternatives or []
    if kind_of(others) != "float":
        return Column(name, "string", ())
    bounds = [float(parameter.min), float(parameter.max), *map(float, others)]
    differs = min(bounds) != max(bounds) or is_conditional
    return Column(name, "float", (min(bounds), max(bounds)), interval=True, differs=differs)


def _discrete(name: str, values: list[Any], is_conditional: bool, differs: bool) -> Column:
    kind = kind_of(values)
    domain = [cell(value, kind) for value in values]
    if is_conditional and kind == "string":
        domain.append(INACTIVE)
    return Column(name, kind, tuple(domain), differs=differs)


def _reach(name: str, parameter: Distribution) -> tuple[float, float]:
    """Between which numbers all samples lie; a filter to them must not hide any."""
    of = variable(name, parameter)
    assert of is not None
    ends = [float(of.decode(0.0)), float(of.decode(1.0))]
    if of.axis is not None:
        ends += [float(of.axis[0]), float(of.axis[-1])]
    return min(ends), max(ends)
