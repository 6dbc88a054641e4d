"""`sweep status` without a name: all sweeps in a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import InputError

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView


def print_sweeps(runs: Path, as_json: bool) -> None:
    """Print where all sweeps stand; one that cannot be read has its line too.

    Args:
        runs: the folder in which they lie.
        as_json: for programs.

    Raises:
        InputError: there is no such folder, or no sweep in it for people to see.
    """
    from sweep.cli.show import print_json

    if not runs.is_dir():
        raise InputError(f"{runs}: there is no such folder; say where the sweeps are with --runs")
    found = list(_sweeps(runs))
    if as_json:
        print_json([_entry(name, view) for name, view in found])
    elif not found:
        raise InputError(f"there is no sweep in {runs}; start one with `sweep run FILE`")
    else:
        _print_table(found)


def describe(view: SweepView) -> dict[str, Any]:
    """Where a sweep stands, for programs."""
    best = view.best
    utilisation = view.usage.utilisation
    first = (
        None
        if best is None
        else {"number": best.number, "value": best.values[0], "params": view.params(best)}
    )
    found: dict[str, Any] = {"best": first}
    if len(view.spec.goals) > 1:
        front = front_of(view)
        found = {"best": first and {**first, "values": front[0]["values"]}, "front": front}
    return {
        "name": view.spec.name,
        "dir": str(view.directory.root),
        "state": view.state,
        "metric": view.spec.metric.name,
        "goal": view.spec.metric.goal,
        "counts": view.counts,
        **found,
        "elapsed_s": round(view.elapsed, 1),
        "utilisation": None if utilisation is None else round(utilisation, 4),
    }


def front_of(view: SweepView) -> list[dict[str, Any]]:
    """The trials of the Pareto front, for programs."""
    return [
        {"number": trial.number, "values": view.values(trial), "params": view.params(trial)}
        for trial in view.front
    ]


def _sweeps(runs: Path) -> Iterator[tuple[str, SweepView | InputError]]:
    """The sweeps by their names; what is wrong with one that cannot be read."""
    from sweep.analysis.view import SweepView
    from sweep.system.directory import SweepDirectory

    for file in sorted(runs.glob("*/sweep.yaml")):
        try:
            view = SweepView(SweepDirectory(file.parent.resolve()))
            _ = view.frozen_trials  # read now: the journal may be damaged
            yield file.parent.name, view
        except InputError as error:
            yield file.parent.name, error


def _entry(name: str, view: SweepView | InputError) -> dict[str, Any]:
    if isinstance(view, InputError):
        return {"name": name, "state": "unreadable", "error": str(view)}
    return describe(view)


def _print_table(found: list[tuple[str, SweepView | InputError]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from sweep.analysis import formatting as text
    from sweep.cli.show import ENDLESS

    width = None if sys.stdout.isatty() else ENDLESS
    console = Console(markup=False, emoji=False, width=width)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("sweep", "state", "trials", "best"):
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    for name, view in found:
        if isinstance(view, InputError):
            table.add_row(name, "unreadable", "", " ".join(str(view).split()))
        else:
            table.add_row(name, view.state, text.counts(view.counts), _best(view))
    console.print(table, highlight=False)


def _best(view: SweepView) -> str:
    from sweep.analysis import formatting as text

    best = view.best
    if best is None:
        return "-"
    if len(view.front) > 1:
        return f"{len(view.front)} trials, each in its way"
    return f"{text.parameters(view.values(best))} (trial {best.number})"
