"""`sweep trials`: all trials of a sweep as a table, JSON or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from sweep.cli.options import Json, Runs, SweepName, finite, print_json, print_text
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.analysis.view import TrialRow

_COLUMNS = ["number", "state", "value", "attempts", "reason", "started", "finished", "duration_s", "dir"]
"""The columns that every CSV table begins with. Each other key of a trial follows if a trial has it."""
_GROUPS = ("values", "repeats", "params", "metrics", "user_attrs")
"""Keys whose entries have a column each in CSV, such as `params.lr`."""


class TableFormat(str, Enum):
    """The output formats of `sweep trials`."""

    table = "table"
    json = "json"
    csv = "csv"


def trials(
    name: SweepName,
    runs: Runs = RUNS,
    form: Annotated[TableFormat, Option("--format", help="The output format.")] = TableFormat.table,
    as_json: Json = False,
) -> None:
    """List all trials.

    \b
    Examples:
      sweep trials digits-cnn
      sweep trials digits-cnn --format csv > trials.csv
      sweep trials digits-cnn --json | jq '.[] | select(.state == "FAIL")'
    """
    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    if as_json or form is TableFormat.json:
        print_json([row.to_dict() for row in view.rows()])
    elif form is TableFormat.csv:
        _print_csv(view.rows())
    else:
        from sweep.console.tables import print_trials

        print_trials(view)


def _print_csv(rows: Sequence[TrialRow]) -> None:
    from sweep.rendering.exports import CsvBuffer, safe_cell

    records = [row.to_dict() for row in rows]
    others = (key for record in records for key in record if key not in _GROUPS)
    columns = dict.fromkeys([*_COLUMNS, *others])
    for group in _GROUPS:
        columns |= dict.fromkeys(key for record in records for key in _entries(record, group))
    text = CsvBuffer()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator=CsvBuffer.terminator)
    writer.writerow({key: safe_cell(key) for key in columns})
    for record in records:
        for group in _GROUPS:
            record |= _entries(record, group)
        writer.writerow({key: safe_cell(_cell(value)) for key, value in record.items()})
    print_text(text.getvalue())


def _cell(value: Any) -> Any:
    """A value as JSON has it, except that null is empty and a string has no quotes."""
    value = finite(value)
    if value is None:
        return ""
    if isinstance(value, str) or type(value) in (int, float):  # `csv` writes these numbers as JSON has them
        return value
    return json.dumps(value, ensure_ascii=False)


def _entries(record: Mapping[str, Any], group: str) -> dict[str, Any]:
    values = record.get(group) or {}
    items = values.items() if isinstance(values, Mapping) else enumerate(values)
    return {f"{group}.{key}": value for key, value in items}
