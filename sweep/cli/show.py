"""`sweep status`, `sweep trials`, `sweep best`: look at a sweep, running or not."""

from __future__ import annotations

import csv
import json
import math
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import Runs, SweepName
from sweep.errors import InputError, SweepError
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView, TrialRow
    from sweep.sweepfile import SweepSpec


ENDLESS = 100_000
"""The width of what is no terminal."""


class TableFormat(str, Enum):
    """How `sweep trials` writes."""

    table = "table"
    json = "json"
    csv = "csv"


class BestFormat(str, Enum):
    """How `sweep best` writes."""

    yaml = "yaml"
    json = "json"
    args = "args"


def status(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A sweep's name below --runs, or the path of its directory.",
            show_default="all of them",
        ),
    ] = None,
    runs: Runs = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say where a sweep stands, or all in the folder of sweeps.

    \b
    Examples:
      sweep status
      sweep status digits-cnn
      sweep status digits-cnn --json
    """
    from sweep.analysis import formatting as text
    from sweep.analysis.view import SweepView
    from sweep.cli.sweeps import describe, print_sweeps

    if name is None:
        print_sweeps(runs, as_json)
        return
    view = SweepView.open(name, runs)
    best = view.best
    if as_json:
        print_json(describe(view))
        return
    of = "" if view.total is None else f" of {view.total}"
    print(
        f"{view.spec.name}: {view.state}, {view.finished_trials}{of} trials in {text.duration(view.elapsed)}"
    )
    print(f"trials: {text.counts(view.counts)}")
    if best is not None and len(view.spec.goals) > 1:
        for trial in view.front:
            print(f"best in its way: trial {trial.number}, {text.parameters(view.values(trial))}")
    elif best is not None:
        print(f"best: trial {best.number}, {view.spec.metric.name} = {text.number(best.values[0])}")
        print(f"      {text.parameters(view.params(best))}")
    if view.usage.utilisation is not None:
        print(f"slots busy: {view.usage.utilisation:.0%}")
    print(f"in {view.directory.root}")


def trials(
    name: SweepName,
    runs: Runs = RUNS,
    form: Annotated[TableFormat, typer.Option("--format", help="How to write them.")] = TableFormat.table,
) -> None:
    """List all trials.

    \b
    Examples:
      sweep trials digits-cnn
      sweep trials digits-cnn --format csv > trials.csv
      sweep trials digits-cnn --format json | jq '.[] | select(.state == "FAIL")'
    """
    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    rows = view.rows()
    if form is TableFormat.json:
        print_json([row.to_dict() for row in rows])
    elif form is TableFormat.csv:
        _print_csv(rows)
    else:
        _print_table(view, rows)


def best(
    name: SweepName,
    runs: Runs = RUNS,
    form: Annotated[BestFormat, typer.Option("--format", help="How to write them.")] = BestFormat.yaml,
    artifact: Annotated[
        str | None,
        typer.Option(
            "--artifact",
            metavar="ARTIFACT",
            help="Copy what the trial has saved under this name instead.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="With --artifact: the folder for it, or what the copy is called.",
            show_default="this folder",
        ),
    ] = None,
    repeat: Annotated[
        str | None,
        typer.Option(
            "--repeat",
            metavar="N",
            help="With --artifact: of which repeat, 0 or seed-42.",
            show_default="the best one",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --artifact: replace what is in its place.")
    ] = False,
) -> None:
    """Print the parameters of the best trial. As arguments they are quoted for the shell.

    With several goals these are all trials that none is better than in each of them (the Pareto front), with
    their numbers and values, if there are more than one.

    With --artifact nothing of that is printed: a file or a folder that the best trial has kept with
    trial.save_artifact is copied out of the sweep.

    \b
    Examples:
      sweep best digits-cnn > best.yaml
      eval python train.py "$(sweep best digits-cnn --format args)"
      sweep best digits-cnn --artifact model.pt
      sweep best digits-cnn --artifact model.pt -o models/digits.pt --force
    """
    from sweep.analysis.view import SweepView

    if artifact is None and (output is not None or repeat is not None or force):
        option = "--output" if output is not None else "--repeat" if repeat is not None else "--force"
        raise InputError(f"{option} belongs to --artifact; say which one, for example --artifact model.pt")
    view = SweepView.open(name, runs)
    found = view.best
    if found is None:
        raise SweepError(f"{view.spec.name}: {view.why_no_best}; see `sweep status {name}`")
    if artifact is not None:
        _take_out(view, artifact, output or ".", repeat, force)
        return
    params: Any = view.params(found)
    if len(view.front) > 1:
        if form is BestFormat.args:
            numbers = ", ".join(str(trial.number) for trial in view.front)
            raise InputError(
                f"{view.spec.name}: several trials are best, each in its way ({numbers}); use --format json"
            )
        from sweep.cli.sweeps import front_of

        params = front_of(view)
    if form is BestFormat.json:
        print_json(params)
    elif form is BestFormat.args:
        print(shlex.join(_arguments(view.spec, params)))
    else:
        from sweep.sweepfile.yaml import write_yaml

        print(write_yaml(params), end="")


def _arguments(spec: SweepSpec, params: Mapping[str, Any]) -> list[str]:
    """Parameters as the sweep's script gets them; for a function, and for a script that gets them in another
    way than on its command line, as most scripts would.
    """
    from sweep.script.reference import ScriptReference
    from sweep.sweepfile.command import CommandError

    found: list[str] = []
    if spec.objective is None:
        with suppress(CommandError):
            found = ScriptReference.of(spec).as_arguments(params)
    return found or [f"--{key}={value}" for key, value in params.items()]


def _take_out(view: SweepView, name: str, output: str, repeat: str | None, force: bool) -> None:
    """Copy an artifact of the best trial, and say whose it is."""
    from sweep.analysis import formatting as text
    from sweep.analysis.artifacts import best_repeat, find_artifact, take_out
    from sweep.controller.runs import find_repeat, repeat_values

    trial = view.front[0]
    if len(view.front) > 1:
        places = "\n  ".join(str(view.directory.trial(one.number).root) for one in view.front)
        raise InputError(f"{view.spec.name}: several trials are best, each in its way; see\n  {places}")
    index = best_repeat(view, trial) if repeat is None else find_repeat(view.spec, repeat)
    place = take_out(
        find_artifact(view, trial.number, index, name),
        name,
        Path(output),
        is_folder=output.endswith("/"),
        force=force,
    )
    values = repeat_values(trial.user_attrs, view.spec.repeats) or trial.values
    who = text.run(trial.number, view.spec.run_labels[index])
    value = f"{view.spec.metric.name} = {text.number(values[index])}"
    print(f"{place}: {name} of trial {who}, {value}")


def print_json(data: Any) -> None:
    """Print `data` as JSON that every program reads."""
    print(json.dumps(_finite(data), indent=2, ensure_ascii=False))


def _finite(data: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, (list, tuple)) else data


def _print_csv(rows: list[TrialRow]) -> None:
    params = list(dict.fromkeys(name for row in rows for name in row.params))
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    kept = list(dict.fromkeys(name for row in rows for name in row.user_attrs or ()))
    plain = ["number", "state", "value", "attempts", "reason", "started", "finished", "duration_s", "dir"]
    if any(row.retry_of is not None for row in rows):
        plain.append("retry_of")
    repeats = max((len(row.repeats or ()) for row in rows), default=0)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(
        [
            *plain,
            *(f"repeats.{repeat}" for repeat in range(repeats)),
            *(f"params.{name}" for name in params),
            *(f"metrics.{name}" for name in metrics),
            *(f"user_attrs.{name}" for name in kept),
        ]
    )
    for row in rows:
        writer.writerow(
            [
                *(getattr(row, name) for name in plain),
                *(row.repeats or ()),
                *(row.params.get(name) for name in params),
                *(row.metrics.get(name) for name in metrics),
                *((row.user_attrs or {}).get(name) for name in kept),
            ]
        )


def _print_table(view: SweepView, rows: list[TrialRow]) -> None:
    """One line per trial: too long reasons are cut, numbers are not; without a terminal nothing is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from sweep.analysis import formatting as text

    styles = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red", "RUNNING": "cyan", "WAITING": "dim"}
    varied = view.varied
    width = None if sys.stdout.isatty() else ENDLESS
    console = Console(markup=False, emoji=False, width=width)
    best = {trial.number for trial in view.front}
    goals = [goal.name for goal in view.spec.goals]
    limits = [name for name in view.spec.limits if name not in goals]
    table = Table(box=None, header_style="bold", pad_edge=False, expand=console.width < ENDLESS)
    for name in ("trial", "state", *goals, *limits, "time", *varied):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    if any(row.reason for row in rows):
        table.add_column("why", overflow="ellipsis", no_wrap=True, ratio=1)
    for row in rows:
        values = row.values or (row.value,)
        mark = " *" if row.number in best else ""
        cells: list[Any] = [
            str(row.number),
            Text(row.state, style=styles[row.state]),
            text.number(values[0]) + mark,
            *(text.number(value) for value in [*values[1:], *[None] * (len(goals) - len(values))]),
            *(text.number(row.metrics.get(name)) for name in limits),
            "-" if row.duration_s is None else text.duration(row.duration_s),
            *(text.parameter(row.params[name]) if name in row.params else "-" for name in varied),
            row.reason or "",
        ]
        table.add_row(*cells[: len(table.columns)])
    console.print(table, highlight=False)
