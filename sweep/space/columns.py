"""How a parameter appears in TensorBoard's HParams tab: its type, its domain, and a trial's value."""

from __future__ import annotations

from typing import Any

from sweep.spec.parameters import Choice, Constant, Parameter
from sweep.tracking.hparams import Cell, Column, Kind

_MOST_DISCRETE = 9
"""With ten or more numbers to choose from, TensorBoard's filter becomes a regular expression, which its
server refuses for numbers (HTTP 400): from there on an interval."""


def column(name: str, parameter: Parameter) -> Column:
    """The column of one parameter.

    Its type comes from all values it can take: one column with words and numbers cannot be sorted.
    """
    if isinstance(parameter, Constant):
        return Column(name, _kind([parameter.value]), (_cell(parameter.value),), differs=False)
    if isinstance(parameter, Choice):
        kind = _kind(parameter.values)
        cells = tuple(cell(value, kind) for value in parameter.values)
        if kind == "float" and len(cells) > _MOST_DISCRETE:
            numbers = [float(value) for value in parameter.values]
            return Column(name, kind, (min(numbers), max(numbers)), interval=True)
        return Column(name, kind, cells, differs=len(cells) > 1)
    return Column(
        name,
        "float",
        (float(parameter.min), float(parameter.max)),
        interval=True,
        differs=parameter.min != parameter.max,
    )


def cell(value: Any, kind: Kind) -> Cell:
    """A trial's value as a column of `kind` shows it."""
    if kind == "float":
        return float(value)
    return value if kind == "bool" else str(value)


def _cell(value: Any) -> Cell:
    return cell(value, _kind([value]))


def _kind(values: list[Any]) -> Kind:
    if all(isinstance(value, bool) for value in values):
        return "bool"
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return "float"
    return "string"
