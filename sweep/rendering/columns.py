"""The trials of a sweep as columns of JSON, for the table and the plots of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from sweep.analysis.formatting import distinct
from sweep.analysis.view import SweepView, TrialRow
from sweep.sweepfile.parameters import Choice, Distribution, Range
from sweep.sweepfile.tree import flatten

Column = dict[str, Any]
"""Key, title, role, kind and values of a column. The values of kind `choice` are indexes of its `choices`."""
_EXACT = 2000
"""Up to this number of trials, numbers have all their digits; the table of a larger sweep has eight."""
_LARGEST = 2**53
"""A browser would round larger integers."""
_MAX_TEXT = 500
"""Characters of a text that are shown: an attribute can be of any length."""


def trial_columns(view: SweepView, rows: Sequence[TrialRow]) -> list[Column]:
    """The columns: number, state, metrics, parameters, then all else that is known of the trials."""
    digits = None if len(rows) <= _EXACT else 8
    goals = [goal.name for goal in view.spec.goals]
    columns = [
        {"key": "number", "title": "trial", "role": "number", **_numbers([row.number for row in rows])},
        {"key": "state", "title": "state", "role": "state", **_choices([row.state for row in rows])},
    ]
    for index, goal in enumerate(view.spec.goals):
        found = _numbers([_value(row, index) for row in rows], digits)
        columns.append(
            {"key": f"goal:{index}", "title": goal.name, "role": "goal", "goal": goal.goal, **found}
        )
    columns += [_parameter_column(view, name, rows, digits) for name in view.varied]
    columns.append(
        {
            "key": "duration",
            "title": "duration (s)",
            "role": "duration",
            **_numbers([row.duration_s for row in rows]),
        }
    )
    if any(row.attempts > 1 for row in rows):
        found = _numbers([row.attempts for row in rows])
        columns.append({"key": "attempts", "title": "attempts", "role": "other", **found})
    for role, key, title in (
        ("reason", "reason", "reason"),
        ("feasible", "feasible", "within limits"),
        ("other", "retry_of", "retry of"),
        ("other", "started", "started"),
    ):
        columns += _optional(key, title, role, [getattr(row, key) for row in rows], digits)
    columns += _mappings("metric", rows, lambda row: row.metrics, digits, exclude=goals)
    columns += _mappings("attribute", rows, lambda row: row.user_attrs or {}, digits)
    return columns


def _value(row: TrialRow, index: int) -> float | None:
    return row.value if row.values is None else row.values[index]


def _parameter_column(view: SweepView, name: str, rows: Sequence[TrialRow], digits: int | None) -> Column:
    cells = [row.params.get(name) for row in rows]
    is_set = [name in row.params for row in rows]
    order, is_log = _domain(view, name)
    given = [cell for cell, known in zip(cells, is_set, strict=True) if known]
    if order is None and all(_is_number(cell) for cell in given):
        found: Column = {**_numbers(cells, digits), "log": is_log}
    else:
        domain = _ordered(order or given)
        texts = distinct([*domain, *given])
        shown = iter(texts[len(domain) :])
        found = _choices([next(shown) if known else None for known in is_set], texts[: len(domain)])
    return {"key": f"param:{name}", "title": name, "role": "parameter", **found}


def _domain(view: SweepView, name: str) -> tuple[list[Any] | None, bool]:
    """The values of a choice (None for a range), and whether a parameter is best shown on a log axis."""
    declared = {} if view.spec.is_define_by_run else flatten(view.spec.parameters)
    if name in declared:
        entry = declared[name].parameter
        if isinstance(entry, Choice):
            return list(entry.values), False
        is_log = isinstance(entry, Range) and entry.log and not _has_others(entry)
        return None, is_log or (isinstance(entry, Distribution) and entry.distribution.startswith("log"))
    for trial in view.frozen_trials:
        match trial.distributions.get(name):
            case FloatDistribution(log=is_log) | IntDistribution(log=is_log):
                return None, is_log
    return None, False


def _has_others(entry: Range) -> bool:
    """Whether a parameter has values, such as 0, that a log axis cannot show."""
    return any(not _is_number(value) or value <= 0 for value in entry.alternatives or ())


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Values in ascending order if they are numbers, otherwise in their own order."""
    listed = list(values)
    return sorted(listed) if all(map(_is_number, listed)) else listed


def _optional(key: str, title: str, role: str, cells: Sequence[Any], digits: int | None) -> list[Column]:
    """A column of any values; none if no trial has one."""
    given = [cell for cell in cells if cell is not None]
    if not given:
        return []
    if all(_is_number(cell) and not (isinstance(cell, int) and abs(cell) > _LARGEST) for cell in given):
        return [{"key": key, "title": title, "role": role, **_numbers(cells, digits)}]
    texts = [None if cell is None else str(cell)[:_MAX_TEXT] for cell in cells]
    return [{"key": key, "title": title, "role": role, **_choices(texts)}]


def _mappings(
    role: str,
    rows: Sequence[TrialRow],
    of: Callable[[TrialRow], Mapping[str, Any]],
    digits: int | None,
    exclude: Iterable[str] = (),
) -> list[Column]:
    """A column for each key of the mappings of all trials."""
    names = dict.fromkeys(name for row in rows for name in of(row))
    columns = []
    for name in names:
        if name not in exclude:
            columns += _optional(f"{role}:{name}", name, role, [of(row).get(name) for row in rows], digits)
    return columns


def _numbers(values: Sequence[Any], digits: int | None = None) -> Column:
    return {"kind": "number", "values": [as_json(value, digits) for value in values]}


def _choices(texts: Sequence[str | None], domain: Iterable[str] = ()) -> Column:
    known = {text: index for index, text in enumerate(dict.fromkeys(domain))}
    values = [None if text is None else known.setdefault(text, len(known)) for text in texts]
    return {"kind": "choice", "choices": list(known), "values": values}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_json(value: float | None, digits: int | None = None) -> int | float | str | None:
    """A number as JSON has it: NaN as null, and infinity as a string, both of which JSON does not have.

    Args:
        value: the number.
        digits: to how many significant digits it is rounded.
    """
    if isinstance(value, int):  # it can be too large for a float
        return value
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value if digits is None else float(f"{value:.{digits}g}")
