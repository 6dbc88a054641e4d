"""Trials side by side: a column for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from sweep.analysis import formatting as text
from sweep.analysis.comparison import ComparedTrial, Comparison
from sweep.analysis.query import SweepTrials
from sweep.console.sparkline import sparkline
from sweep.console.tables import STATE_STYLES, make_console
from sweep.system.streams import can_encode

_GAP = 2
_MAX_WIDTH = 28
"""The width of a column on a terminal. Longer values continue on the next line."""
_CURVE_WIDTHS = (8, 16)
"""The least and the largest width of a learning curve: curves leave room for more trials."""


@dataclass(frozen=True)
class _Line:
    """A row of the table.

    Args:
        title: what it shows.
        cells: a text for each trial.
        style: the style of the title.
        styles: a style for each cell.
    """

    title: str
    cells: list[str]
    style: str = ""
    styles: Sequence[str] | None = None


def print_comparison(comparison: Comparison) -> None:
    """Print trials side by side, as many as fit, and why they failed or were pruned."""
    if not comparison.trials:
        for sweep in comparison.sweeps:
            total = len(sweep.view.frozen_trials)
            problem = f"none of its {text.plural(total, 'trial')} fulfils the condition"
            name = text.printable(_name(comparison, sweep))
            print(f"{name}: {problem if total else 'has no trial yet'}")
        return
    console = make_console()
    lines = _lines(comparison)
    title_width = min(max(cell_len(line.title) for line in lines), console.width // 3)
    share = (console.width - title_width) // len(comparison.trials) - _GAP
    curves = _curves(comparison.trials, min(max(share, _CURVE_WIDTHS[0]), _CURVE_WIDTHS[1]))
    if any(curves):
        lines.append(_Line("curve", curves, "dim"))
    widths = [
        min(max(cell_len(line.cells[index]) for line in lines), _limit(console.is_terminal))
        for index in range(len(comparison.trials))
    ]
    ends = accumulate((width + _GAP for width in widths), initial=title_width)
    shown = max(1, sum(end <= console.width for end in list(ends)[1:]))
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=False)
    table.add_column(width=title_width, overflow="fold")
    for width in widths[:shown]:
        table.add_column(width=min(width, console.width - title_width - _GAP), overflow="fold")
    for line in lines:
        styles = line.styles or [""] * len(line.cells)
        cells = [Text(cell, style) for cell, style in zip(line.cells, styles, strict=True)]
        table.add_row(Text(line.title, line.style), *cells[:shown])
    console.print(table)
    for note in _notes(comparison, shown):
        console.print(Text(note), soft_wrap=not console.is_terminal)


def _limit(is_terminal: bool) -> int:
    return _MAX_WIDTH if is_terminal else 1000


def _label(comparison: Comparison, trial: ComparedTrial) -> str:
    """A trial's number, with its sweep if there are several."""
    number = str(trial.row.number)
    return f"{_name(comparison, trial.sweep)}:{number}" if len(comparison.sweeps) > 1 else number


def _name(comparison: Comparison, sweep: SweepTrials) -> str:
    """A sweep's name; if several have it, what tells them apart: their folders' names, or their paths."""
    views, index = [each.view for each in comparison.sweeps], comparison.sweeps.index(sweep)
    for names in ([view.spec.name for view in views], [view.directory.name for view in views]):
        if len(set(names)) == len(names):
            return names[index]
    return str(sweep.view.directory.root)


def _lines(comparison: Comparison) -> list[_Line]:
    trials = comparison.trials
    rows = [trial.row for trial in trials]
    measured = [trial.sweep.measured(row) for trial, row in zip(trials, rows, strict=True)]
    goals = {goal.name for sweep in comparison.sweeps for goal in sweep.view.spec.goals}
    headers = [_label(comparison, trial) + " *" * trial.is_best for trial in trials]
    lines = [
        _Line("trial", headers, "bold", ["bold"] * len(trials)),
        _Line("state", [row.state for row in rows], "dim", [STATE_STYLES[row.state] for row in rows]),
    ]
    for name in comparison.metrics:
        if name in goals:
            lines.append(_Line(name, [text.number(values.get(name)) for values in measured]))
    if any(row.feasible is not None for row in rows):
        lines.append(_Line("feasible", [_yes_or_no(row.feasible) for row in rows], "dim"))
    durations = ["-" if row.duration_s is None else text.duration(row.duration_s) for row in rows]
    lines.append(_Line("duration", durations, "dim"))
    mark = "≠" if can_encode("≠") else "!"
    differing = set(comparison.differing)
    for name in sorted(comparison.params, key=lambda name: name not in differing):
        cells = [text.parameter(row.params.get(name, "-")) for row in rows]
        is_marked = name in differing
        lines.append(_Line(f"{mark} {name}" if is_marked else f"  {name}", cells, "bold" * is_marked))
    for name in comparison.metrics:
        if name not in goals:
            lines.append(_Line(name, [text.number(values.get(name)) for values in measured], "dim"))
    if any(row.repeats for row in rows):
        cells = [" ".join(map(text.number, row.repeats or ())) for row in rows]
        lines.append(_Line("repeats", cells, "dim"))
    return [
        _Line(text.printable(line.title), list(map(text.printable, line.cells)), line.style, line.styles)
        for line in lines
    ]


def _yes_or_no(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _curves(trials: Sequence[ComparedTrial], width: int) -> list[str]:
    """The learning curves, with the same limits for all curves of a metric."""
    lines = []
    for trial in trials:
        metric = trial.sweep.view.spec.pruning_metric.name
        points = [
            point
            for other in trials
            if other.sweep.view.spec.pruning_metric.name == metric
            for point in other.curve
            if math.isfinite(point[1])
        ]
        if not points:
            lines.append("")
            continue
        steps, values = zip(*points, strict=True)
        limits = (min(steps), max(steps)), (min(values), max(values))
        lines.append(sparkline(trial.curve, *limits, min(width, len(set(steps)))))
    return lines


def _notes(comparison: Comparison, shown: int) -> list[str]:
    """What the table does not show."""
    notes = []
    for trial in comparison.trials:
        if trial.row.reason:
            notes.append(f"trial {_label(comparison, trial)}: {text.printable(trial.row.reason)}")
    if len(comparison.trials) > shown:
        rest = ", ".join(_label(comparison, trial) for trial in comparison.trials[shown:])
        notes.append(f"not shown, because the terminal is too narrow: {rest}")
    counted = [len([1 for trial in comparison.trials if trial.sweep is sweep]) for sweep in comparison.sweeps]
    for sweep, found, count in zip(comparison.sweeps, comparison.found, counted, strict=True):
        if found > count:
            name = f"{_name(comparison, sweep)}: " if len(comparison.sweeps) > 1 else ""
            notes.append(f"{name}{count} of {found} trials; more with -n {min(found, 2 * count)}")
    return notes
