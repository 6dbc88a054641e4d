"""The columns of TensorBoard's HParams tab: the type and domain of each parameter, and a trial's cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.space.space import SearchSpace
from sweep.space.variables import variable
from sweep.sweepfile.parameters import Choice, Constant, Distribution, Leaf
from sweep.tracking.hparams import Cell, Column, cell, kind_of

_MAX_DISCRETE = 9
"""With ten or more numbers, TensorBoard's filter becomes a regular expression, which its server rejects for
numbers (HTTP 400). More numbers are shown as an interval."""
INACTIVE = "(inactive)"
"""The cell of an inactive parameter in a column of strings: the parallel coordinates view drops trials with
empty cells."""


def columns(space: SearchSpace) -> dict[str, Column]:
    """The columns by parameter name."""
    return {
        name: column(name, parameter, is_conditional=bool(space.conditions(name)))
        for name, parameter in space.parameters.items()
    }


def cells(columns: Mapping[str, Column], params: Mapping[str, Any]) -> dict[str, Cell]:
    """The cells of a trial's row."""
    row = {name: cell(params[name], column.kind) for name, column in columns.items() if name in params}
    for name, column in columns.items():
        if name not in params and column.kind == "string":
            row[name] = INACTIVE
    return row


def column(name: str, parameter: Leaf, is_conditional: bool = False) -> Column:
    """The column of one parameter.

    Its type depends on all possible values, because TensorBoard cannot sort a column of strings and numbers.

    Args:
        name: the parameter's name.
        parameter: its entry in the sweep file.
        is_conditional: whether it is inactive in some trials.
    """
    if isinstance(parameter, Constant):
        return _discrete(name, [parameter.value], is_conditional, differs=is_conditional)
    if isinstance(parameter, Choice):
        numbers = parameter.values
        if kind_of(numbers) == "float" and len(numbers) > _MAX_DISCRETE:
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
    """The bounds of all samples: a filter with these bounds must not hide any of them."""
    sampled = variable(name, parameter)
    assert sampled is not None
    ends = [float(sampled.decode(0.0)), float(sampled.decode(1.0))]
    if sampled.axis is not None:
        ends += [float(sampled.axis[0]), float(sampled.axis[-1])]
    return min(ends), max(ends)
