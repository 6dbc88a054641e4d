"""The trials and the curves of a sweep as tables, and as CSV, JSON and Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from sweep.analysis.curves import CurvePoint, curve_points
from sweep.analysis.view import SweepView, TrialRow
from sweep.rendering.extras import require

if TYPE_CHECKING:
    import pandas

_VERSION = 1
"""The version of the exported JSON (docs/json.md)."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet takes for a formula."""
_OF_THE_SWEEP = ("attempts", "reason", "feasible", "retry_of")
"""What `sweep trials` has of a trial and Optuna's table does not."""


class CsvBuffer(io.StringIO):
    """Rows of CSV that end with a line feed. `csv` quotes a carriage return only if it is part of the end."""

    terminator = "\r\n"

    def write(self, row: str) -> int:
        is_whole = row.endswith(self.terminator)
        return super().write(row.removesuffix(self.terminator) + "\n" if is_whole else row)


def safe_cell(value: Any) -> Any:
    """A cell of a CSV file: a text that a spreadsheet would take for a formula gets a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def trials_frame(view: SweepView) -> pandas.DataFrame:
    """All trials, one per row, with the columns of Optuna's `study.trials_dataframe()` and some of the sweep.

    Parameters have the values of the sweep file, and constants are among them. The sweep adds the columns
    `attempts`, `reason`, `feasible`, `retry_of`, `directory`, `repeats_<name>` and `metrics_<name>`.
    """
    import pandas

    records = [_record(view, trial) for trial in view.frozen_trials]
    columns = dict.fromkeys(["number", "state", *(name for record in records for name in record)])
    small = [
        {name: None if _is_huge(value) else value for name, value in record.items()} for record in records
    ]
    table = pandas.DataFrame(small, columns=sorted(columns, key=_place))
    for name in ("datetime_start", "datetime_complete"):
        if name in table:
            table[name] = pandas.to_datetime(table[name])
    return table.assign(**dict(_integer_columns(records, table)))


def _integer_columns(
    records: Sequence[Mapping[str, Any]], table: pandas.DataFrame
) -> Iterator[tuple[str, pandas.Series]]:
    """The columns that contain integers of more than 64 bits, or integers and gaps.

    pandas 2 refuses the first, and pandas makes floats of the others, which have fewer digits.
    """
    import pandas

    for name in table:
        values = [record.get(name) for record in records]
        known = [value for value in values if value is not None]
        if any(map(_is_huge, known)):
            yield name, pandas.Series(values, dtype="object")
        elif 0 < len(known) < len(values) and all(type(value) is int for value in known):
            yield name, pandas.Series(values, dtype="Int64")


def _is_huge(value: Any) -> bool:
    """Whether it is an integer of more than 64 bits."""
    return type(value) is int and not -(2**63) <= value < 2**63


_ORDER = (
    *("number", "value", "values_", "datetime_start", "datetime_complete", "duration"),
    *("params_", "user_attrs_", "state", *_OF_THE_SWEEP, "directory", "repeats_", "metrics_"),
)
"""The order of the columns: names, and prefixes of names."""


def _place(column: str) -> int:
    return next(
        index
        for index, name in enumerate(_ORDER)
        if column == name or (name.endswith("_") and column.startswith(name))
    )


def _record(view: SweepView, trial: FrozenTrial) -> dict[str, Any]:
    row = view.row(trial)
    values = trial.values or [None] * len(view.spec.goals)
    # A waiting trial has no parameters yet in Optuna's table.
    has_params = bool(trial.params) or trial.state != TrialState.WAITING
    params = {**trial.params, **(row.params if has_params else {})}
    return {
        "number": trial.number,
        **({"value": values[0]} if len(values) == 1 else _named("values", dict(enumerate(values)))),
        "datetime_start": trial.datetime_start,
        "datetime_complete": trial.datetime_complete,
        "duration": trial.duration,
        **_named("params", params),
        **_named("user_attrs", dict(row.user_attrs or {})),
        "state": row.state,
        **_own_columns(view, row),
    }


def _own_columns(view: SweepView, row: TrialRow) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in _OF_THE_SWEEP if getattr(row, name) is not None}
    repeats = dict(zip(view.spec.run_labels, row.repeats or (), strict=False))
    return {
        **own,
        "directory": str(row.directory),
        **_named("repeats", repeats),
        **_named("metrics", dict(row.metrics)),
    }


def _named(prefix: str, entries: dict[Any, Any]) -> dict[str, Any]:
    return {f"{prefix}_{name}": value for name, value in entries.items()}


def curves_frame(view: SweepView) -> pandas.DataFrame:
    """All logged values in long form: the columns trial, repeat, metric, step, value, and time."""
    import pandas

    return pandas.DataFrame(list(curve_points(view)), columns=list(CurvePoint._fields))


def csv_text(table: pandas.DataFrame) -> str:
    """A table as CSV: floats with all their digits, lists and mappings as JSON, safe for spreadsheets."""
    texts = table.select_dtypes(exclude=["number", "datetime", "timedelta", "bool"])
    safe = table.assign(**{name: texts[name].map(_csv_cell) for name in texts})
    buffer = CsvBuffer()
    safe.to_csv(buffer, index=False, lineterminator=CsvBuffer.terminator)
    return buffer.getvalue()


def _csv_cell(value: Any) -> Any:
    return safe_cell(_flat(value))


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def json_record(view: SweepView, has_curves: bool) -> dict[str, Any]:
    """A sweep's trials, as `sweep trials --json` prints them, or its curves, as JSON has them."""
    content: dict[str, Any] = {
        "version": _VERSION,
        "name": view.spec.name,
        "goals": [{"name": goal.name, "goal": goal.goal} for goal in view.spec.goals],
    }
    if has_curves:
        return content | {"curves": [point._asdict() for point in curve_points(view)]}
    return content | {"trials": [row.to_dict() for row in view.rows()]}


def write_parquet(table: pandas.DataFrame, path: Path) -> None:
    """Write a table to a Parquet file.

    A column becomes texts if its values have several types, or are integers that do not fit into 64 bits.

    Raises:
        SweepError: pyarrow is not installed.
    """
    require("pyarrow", "Parquet")
    table.assign(**dict(_uniform_columns(table))).to_parquet(path, engine="pyarrow", index=False)


def _uniform_columns(table: pandas.DataFrame) -> Iterator[tuple[str, Any]]:
    import pandas

    for name in table.select_dtypes(include="object"):
        column = pandas.Series(list(map(_flat, table[name])), dtype="object")
        known = column.dropna()
        is_mixed = len({type(value) for value in known}) > 1
        if is_mixed or any(map(_is_huge, known)):
            column[known.index] = [value if isinstance(value, str) else json.dumps(value) for value in known]
        yield name, column
