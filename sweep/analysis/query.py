"""Which trials to look at: a condition in the language of the constraints, an order, and the best first."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sweep.analysis.view import SweepView, TrialRow
from sweep.errors import InputError, nearest, suggestion
from sweep.sweepfile.expressions import Expression, ExpressionError
from sweep.sweepfile.tree import flatten

_GROUPS = {"params": "params.", "metrics": "metrics."}
"""How a condition names what is not a valid name in Python, `metrics["val/loss"]`, and the prefix in keys."""
_PARTS = re.compile(r"[^\w.]+")
"""What separates the parts of a name that a condition cannot contain as it is."""
_FIELDS: Mapping[str, Callable[[TrialRow], Any]] = {
    "number": lambda row: row.number,
    "state": lambda row: row.state,
    "value": lambda row: row.value,
    "duration": lambda row: row.duration_s,
}
_Key = Callable[[TrialRow], Any]
"""Returns what a row has under a key, None for nothing; raises KeyError if the row has no such key."""
_STATES = ("COMPLETE", "PRUNED", "RUNNING", "WAITING", "FAIL")
"""The order of the states if trials are not sorted."""
_UNORDERED = 2
"""The kind of values that have no order, such as NaN and lists."""


@dataclass(frozen=True)
class Order:
    """The order of trials.

    Args:
        key: what they are ordered by: `value`, `lr`, `params.lr`, `metrics.val/loss`.
        descending: whether the largest is first.
    """

    key: str
    descending: bool = False

    @classmethod
    def parse(cls, text: str, reverse: bool = False) -> Order:
        """An order as an option gives it: `lr`, or `-lr` for the largest first; `reverse` turns it around."""
        descending = text.startswith("-")
        return cls(text.removeprefix("-"), descending != reverse)


class SweepTrials:
    """The trials of a sweep, to be filtered and ordered by what `sweep compare` shows of them.

    Args:
        view: the sweep.
        numbers: only these trials, in this order; all if empty.

    Attributes:
        rows: the trials.
        is_chosen: whether the trials were chosen by their numbers.
        best: the numbers of the best trials: one, or with several goals the Pareto front.

    Raises:
        InputError: there is no trial with one of the numbers.
    """

    def __init__(self, view: SweepView, numbers: Sequence[int] = ()) -> None:
        self.view = view
        self.best = {trial.number for trial in view.front}
        self.is_chosen = bool(numbers)
        self._goals = view.spec.goals
        trials = view.frozen_trials
        for number in numbers:
            if not 0 <= number < len(trials):
                raise InputError(f"{view.spec.name}: has no trial {number}; it has {len(trials)} trials")
        chosen = [trials[number] for number in dict.fromkeys(numbers)] if numbers else trials
        self.rows: list[TrialRow] = [view.row(trial) for trial in chosen]

    @cached_property
    def params(self) -> list[str]:
        """The names of all parameters: those of the sweep file, or those that the trials have."""
        declared = [] if self.view.spec.is_define_by_run else flatten(self.view.spec.parameters)
        return list(dict.fromkeys([*declared, *(name for row in self.rows for name in row.params)]))

    @cached_property
    def metrics(self) -> list[str]:
        """The names of all metrics, those with a goal first."""
        goals = [goal.name for goal in self._goals]
        return list(dict.fromkeys([*goals, *(name for row in self.rows for name in row.metrics)]))

    def measured(self, row: TrialRow) -> dict[str, float]:
        """The metrics of a trial: its result, and the last value of everything else that it logged."""
        values = row.values or ([] if row.value is None else [row.value])
        result = zip((goal.name for goal in self._goals), values, strict=False)
        return {**row.metrics, **dict(result)}

    @property
    def keys(self) -> list[str]:
        """All keys that a condition or an order can use."""
        return list(dict.fromkeys([*_FIELDS, *self.params, *self.metrics]))

    def find(self, key: str) -> _Key | None:
        """What returns the values of a key; None if there is no such key.

        The fields of a trial have precedence over parameters of the same name, and those over metrics.
        """
        if key in _FIELDS:
            return _FIELDS[key]
        name = key.removeprefix(_GROUPS["params"])
        if key in self.params or name in self.params:
            found = key if key in self.params else name
            return lambda row: row.params[found]
        name = key.removeprefix(_GROUPS["metrics"])
        if name in self.metrics:
            return lambda row: self.measured(row)[name]
        return None


def select(
    sweeps: Sequence[SweepTrials], where: str | None = None, order: Order | None = None
) -> list[list[TrialRow]]:
    """Filter and order the rows of some sweeps, each for itself.

    Args:
        sweeps: the sweeps.
        where: a condition, such as `lr < 0.01 and metrics["val/loss"] > 1`. A trial that does not have what
            the condition depends on is left out.
        order: an order. Without one the best trials come first, or the numbers are in the order chosen.

    Returns:
        the rows of each sweep.

    Raises:
        InputError: the condition is invalid, or a key is known in none of the sweeps.
    """
    if order is not None:
        _check_keys(sweeps, [order.key], "--sort")
    selected = [list(sweep.rows) for sweep in sweeps] if where is None else _filter(sweeps, where)
    for sweep, rows in zip(sweeps, selected, strict=True):
        _sort(sweep, rows, order)
    return selected


def _sort(sweep: SweepTrials, rows: list[TrialRow], order: Order | None) -> None:
    if order is not None and (value := sweep.find(order.key)) is not None:
        _sort_by(rows, value, order.descending)
    elif not sweep.is_chosen:
        rows.sort(key=lambda row: _rank(sweep, row))


def _sort_by(rows: list[TrialRow], value: _Key, descending: bool) -> None:
    rows.sort(key=lambda row: _sort_key(value, row), reverse=descending)
    # What has no order is last in both directions, and nothing after that.
    rows.sort(key=lambda row: (_get(value, row) is None, _sort_key(value, row)[0] == _UNORDERED))


def check_params(sweeps: Sequence[SweepTrials], names: Iterable[str]) -> None:
    """Check that each name is a parameter of one of the sweeps.

    Raises:
        InputError: one is not.
    """
    params = list(dict.fromkeys(name for sweep in sweeps for name in sweep.params))
    for name in names:
        if name not in params:
            raise InputError(f"--params: {name}: is not a parameter; {suggestion(name, params)}")


def _filter(sweeps: Sequence[SweepTrials], where: str) -> list[list[TrialRow]]:
    try:
        condition = Expression(where, _GROUPS)
    except ExpressionError as error:
        raise InputError(f"--where: {error}") from None
    _check_keys(sweeps, condition.names, "--where")
    problem, has_applied = None, False
    selected: list[list[TrialRow]] = []
    for sweep in sweeps:
        keys = {name: value for name in condition.names if (value := sweep.find(name)) is not None}
        selected.append([])
        for row in sweep.rows:
            found = {name: _get(value, row) for name, value in keys.items() if _has(value, row)}
            try:
                if condition.matches(found):
                    selected[-1].append(row)
                has_applied = True
            except ExpressionError as error:  # a parameter can be a number in some trials, a string in others
                problem = problem or error
    if problem is not None and not has_applied:
        raise InputError(f"--where: {where}: {problem}")
    return selected


def _check_keys(sweeps: Sequence[SweepTrials], keys: Iterable[str], option: str) -> None:
    for key in keys:
        if all(sweep.find(key) is None for sweep in sweeps):
            known = list(dict.fromkeys(name for sweep in sweeps for name in sweep.keys))
            name = key.removeprefix(_GROUPS["params"]).removeprefix(_GROUPS["metrics"])
            hint = suggestion(name, known)
            # In a condition `val/loss` is a division.
            near = next((each for each in known if name in _PARTS.split(each)), None) or nearest(name, known)
            if option == "--where" and key == name and near is not None and _PARTS.search(near):
                group = "metrics" if any(near in sweep.metrics for sweep in sweeps) else "params"
                hint = f"did you mean {group}[{json.dumps(near)}]?"
            raise InputError(
                f"{option}: {key}: is not a parameter, a metric, or one of {', '.join(_FIELDS)}; {hint}"
            )


def _has(value: _Key, row: TrialRow) -> bool:
    """Whether a trial has something under a key. A parameter can be null, a field cannot."""
    try:
        return value(row) is not None or value not in _FIELDS.values()
    except KeyError:
        return False


def _get(value: _Key, row: TrialRow) -> Any:
    try:
        return value(row)
    except KeyError:
        return None


def _sort_key(value: _Key, row: TrialRow) -> tuple[int, Any]:
    """Numbers come before strings, and those before lists and NaN."""
    found = _get(value, row)
    if isinstance(found, (int, float)):
        return (_UNORDERED, "") if math.isnan(found) else (0, found)
    return (1, found) if isinstance(found, str) else (_UNORDERED, "")


def _rank(sweep: SweepTrials, row: TrialRow) -> tuple[Any, ...]:
    """A key that sorts the best trials of a sweep first: with several goals, the Pareto front."""
    goal = sweep.view.spec.goals[0]
    value = row.value if row.value is not None else row.metrics.get(goal.name)
    has_value = value is not None and not math.isnan(value)
    loss = 0.0 if value is None or not has_value else value if goal.goal == "minimize" else -value
    is_feasible = row.feasible is not False
    state = _STATES.index(row.state)
    return (row.number not in sweep.best, state, not is_feasible, not has_value, loss, row.number)
