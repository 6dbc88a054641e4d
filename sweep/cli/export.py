"""`sweep export`: the trials or the curves of a sweep as a file for other programs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from sweep.cli.options import Json, Runs, SweepName, json_text, print_text
from sweep.errors import InputError
from sweep.system.directory import RUNS
from sweep.system.paths import home_path

if TYPE_CHECKING:
    import pandas

    from sweep.analysis.view import SweepView


class ExportFormat(str, Enum):
    """The output formats of `sweep export`."""

    csv = "csv"
    json = "json"
    parquet = "parquet"


def export(
    name: SweepName,
    runs: Runs = RUNS,
    form: Annotated[
        ExportFormat | None,
        Option("--format", help="The format; by default that of FILE's suffix, or csv."),
    ] = None,
    as_json: Json = False,
    curves: Annotated[
        bool, Option("--curves", help="Every logged value instead of the trials, one per row.")
    ] = False,
    output: Annotated[
        Path | None,
        Option("--output", "-o", metavar="FILE", parser=home_path, help="The file; by default stdout."),
    ] = None,
) -> None:
    """Export the trials, or with --curves all values that they logged, for pandas, R or a spreadsheet.

    The table has the columns of Optuna's study.trials_dataframe(), and further ones such as metrics_val/loss.
    In CSV, a text that begins with = + - @ gets a leading apostrophe: spreadsheets would evaluate it.

    \b
    Examples:
      sweep export digits-cnn -o trials.csv
      sweep export digits-cnn --curves -o curves.parquet
      sweep export digits-cnn --json | jq '.trials[0].params'
    """
    form = ExportFormat.json if as_json else form
    form = form or (ExportFormat.csv if output is None else _format_of(output))
    if form is ExportFormat.parquet and output is None:
        raise InputError("--format parquet: is not a text; add a file, for example -o trials.parquet")

    if output is not None and output.is_dir():
        raise InputError(f"--output: {output}: is a folder; write {output / f'trials.{form.value}'}")
    if output is not None and not output.parent.is_dir():
        raise InputError(f"--output: {output.parent}: no such folder; create it first")

    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    if form is ExportFormat.json:
        from sweep.rendering.exports import json_record

        _write(json_text(json_record(view, curves)) + "\n", output)
    else:
        table = _table(view, curves)
        if form is ExportFormat.csv:
            from sweep.rendering.exports import csv_text

            _write(csv_text(table), output)
        else:
            assert output is not None
            _write_parquet(table, output)


def _format_of(output: Path) -> ExportFormat:
    """The format of a file by its suffix; CSV if it has none."""
    form = output.suffix.removeprefix(".").lower() or ExportFormat.csv
    if form not in list(ExportFormat):
        possible = " or ".join(f".{choice.value}" for choice in ExportFormat)
        raise InputError(
            f"--output: {output}: {output.suffix} is not a format; write {possible}, or choose with --format"
        )
    return ExportFormat(form)


def _table(view: SweepView, curves: bool) -> pandas.DataFrame:
    from sweep.rendering.exports import curves_frame, trials_frame

    return curves_frame(view) if curves else trials_frame(view)


def _write(text: str, output: Path | None) -> None:
    from sweep.system.durable import replacing

    if output is None:
        print_text(text)
        return
    with replacing(output) as path:
        path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def _write_parquet(table: pandas.DataFrame, output: Path) -> None:
    from sweep.rendering.exports import write_parquet
    from sweep.system.durable import replacing

    with replacing(output) as path:
        write_parquet(table, path)
