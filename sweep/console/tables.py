"""Tables: the sweeps of a folder, the trials of a sweep, the search space of a sweep file."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweep.analysis import formatting as text
from sweep.errors import InputError
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.parameters import DISTRIBUTIONS, Choice, Constant, Distribution, Leaf
from sweep.sweepfile.tree import FlatParameter, flatten

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView
    from sweep.preview import Preview

UNLIMITED = 100_000
"""The width of output that is not a terminal: nothing is cut off."""
_GAP = "  "
"""What separates the columns of trials and sweeps."""
_LEAST_WIDTH = 20
"""The least width of a column that is cut off."""
STATE_STYLES = {
    **{"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red", "RUNNING": "cyan", "WAITING": "dim"},
    **{"running": "cyan", "finished": "green", "interrupted": "yellow", "unreadable": "red"},
}
"""The colours of the states of trials and sweeps."""


def print_listing(sweeps: Mapping[str, SweepView | InputError], runs: Path) -> None:
    """Print one line per sweep, in this order. On a terminal the best trials are cut off, numbers never.

    Args:
        sweeps: the sweeps by name, with the error in place of a sweep that cannot be read.
        runs: the folder that contains them.
    """
    from sweep.analysis.cost import Cost
    from sweep.analysis.status import started_at

    if not sweeps:
        print(f"{runs}: contains no sweep; start one with: sweep run FILE")
        return
    rows = []
    for name, view in sweeps.items():
        if isinstance(view, InputError):
            rows.append([name, "unreadable", "", "", "", str(view)])
            continue
        of = "" if view.total is None else f"/{view.total}"
        cost = Cost.of(view).slot_hours
        trials, hours = f"{view.finished_trials}{of}", f"{cost:.2f}" if cost else "-"
        age = text.duration(max(0.0, time.time() - started_at(view)))
        rows.append([name, view.state, trials, hours, age, _best_text(view)])
    _print_rows(["sweep", "state", "trials", "slot hours", "age", "best"], rows, left=[0, 1], has_text=True)


def print_trials(view: SweepView) -> None:
    """Print one line per trial. On a terminal, long reasons are cut off, and the last parameters left out."""
    rows, varied = view.rows(), view.varied
    best = {trial.number for trial in view.front}
    goals = [goal.name for goal in view.spec.goals]
    limits = [name for name in view.spec.limits if name not in goals]
    titles = ["trial", "state", *goals, *limits, "time", *varied]
    has_reasons = any(row.reason for row in rows)
    if has_reasons:
        titles.append("why")
    table: list[list[str]] = []
    for row in rows:
        missing = [None] * (len(goals) - 1)
        values = list(row.values) if row.values else [row.value, *missing]
        mark = " *" if row.number in best else ""
        cells = [
            str(row.number),
            row.state,
            text.number(values[0]) + mark,
            *map(text.number, values[1:]),
            *(text.number(row.metrics.get(name)) for name in limits),
            "-" if row.duration_s is None else text.duration(row.duration_s),
            *(text.parameter(row.params.get(name, "-")) for name in varied),
            row.reason or "",
        ]
        table.append(cells[: len(titles)])
    left_out = _print_rows(titles, table, left=[1], has_text=has_reasons, optional=len(varied))
    if left_out:
        print(f"left out, as the terminal is too narrow: {', '.join(map(text.printable, left_out))}")


def _print_rows(
    titles: list[str], rows: list[list[str]], left: Collection[int], has_text: bool, optional: int = 0
) -> list[str]:
    """Print a table, whose second column is a state. `rich` takes a second for a thousand rows.

    On a terminal that is too narrow for the other columns, the lines are longer than it is wide. A number is
    never cut off.

    Args:
        titles: the titles of the columns.
        rows: the cells of each row.
        left: the columns that are aligned to the left, by their indices.
        has_text: whether the last column is aligned to the left, too, and cut off on a terminal.
        optional: how many of the last columns (before the text) are left out if there is no room for them.

    Returns:
        the titles of the columns that are left out.
    """
    console = make_console()
    columns = [list(map(text.printable, column)) for column in zip(titles, *rows, strict=True)]
    widths = [max(map(cell_len, column)) for column in columns]
    left_out: list[str] = []
    last = len(columns) - 1 - has_text
    needed = (
        sum(widths[: last + 1]) + has_text * min(widths[-1], _LEAST_WIDTH) + len(_GAP) * (len(widths) - 1)
    )
    while needed > console.width and len(left_out) < optional:
        index = last - len(left_out)
        needed -= widths.pop(index) + len(_GAP)
        left_out.insert(0, columns.pop(index)[0])
    if has_text:
        rest = max(console.width - sum(widths[:-1]) - len(_GAP) * len(widths[:-1]), _LEAST_WIDTH)
        columns[-1] = [_cut(cell, rest) for cell in columns[-1]]
    for index, width in enumerate(widths):
        spaces = [" " * (width - cell_len(cell)) for cell in columns[index]]
        if index in left or (has_text and index == len(columns) - 1):
            columns[index] = list(map(str.__add__, columns[index], spaces))
        else:
            columns[index] = list(map(str.__add__, spaces, columns[index]))
    styled = {cell: _styled(console, cell, STATE_STYLES[cell.strip()]) for cell in set(columns[1][1:])}
    columns[1][1:] = [styled[cell] for cell in columns[1][1:]]
    header, *lines = (_GAP.join(cells).rstrip() for cells in zip(*columns, strict=True))
    print("\n".join([_styled(console, header, "bold"), *lines]))
    return left_out


def _cut(cell: str, width: int) -> str:
    """A cell that is not wider than this."""
    if cell_len(cell) <= width:
        return cell
    line = Text(cell)
    line.truncate(width, overflow="ellipsis")
    return line.plain


def _styled(console: Console, content: str, style: str) -> str:
    """A text with the escape sequences of a style, if the output is a terminal."""
    with console.capture() as capture:
        console.print(content, style=style, end="", soft_wrap=True)
    return capture.get()


def print_preview(spec: SweepSpec, preview: Preview, notes: Sequence[str]) -> None:
    """Print the search space of a sweep, the size of its grid, and some configurations."""
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(
        text.printable(
            f"{spec.name}: {spec.goals_text} of {spec.entry_point} with {spec.sampler.type}, "
            f"pruner {spec.pruner.type}"
        ),
        end="\n\n",
    )
    if not spec.is_define_by_run:
        nodes = flatten(spec.parameters)
        is_conditional = any(node.conditions for node in nodes.values())
        space = _table("parameter", "values", "scale", *(["when"] if is_conditional else []))
        for key, node in nodes.items():
            cells = [key, *_describe(node.parameter), _conditions(node)]
            space.add_row(*map(text.printable, cells[: len(space.columns)]))
        samples = _table()
        for key in nodes:
            samples.add_column(text.printable(key), justify="right")
        for sample in preview.samples:
            samples.add_row(*(text.parameter(sample.get(key, "-")) for key in nodes))
        console.print(space)
        console.print(f"\ngrid: {'infinite' if preview.grid is None else preview.grid}\n")
        console.print(samples)
    if preview.command is not None:
        console.print(f"\n{text.printable(shlex.join(preview.command))}\n", soft_wrap=True)
    for note in notes:
        console.print(f"note: {text.printable(note)}")


def make_console() -> Console:
    """A console that prints texts as they are, and cuts off nothing if the output is not a terminal."""
    width = None if sys.stdout.isatty() else UNLIMITED
    return Console(markup=False, emoji=False, highlight=False, width=width)


def _table(*headers: str, expand: bool = False) -> Table:
    return Table(*headers, box=None, header_style="bold", pad_edge=False, expand=expand)


def _best_text(view: SweepView) -> str:
    """The best value of a sweep and its trial, on one line."""
    if view.best is None:
        return "-"
    if len(view.front) > 1:
        return f"{len(view.front)} trials (Pareto front)"
    return f"{text.parameters(view.values(view.best))} (trial {view.best.number})"


def _conditions(node: FlatParameter) -> str:
    texts = []
    for condition in node.conditions:
        relation = "=" if len(condition.values) == 1 else "in"
        texts.append(f"{condition.name} {relation} {' '.join(map(str, condition.values))}")
    return ", ".join(texts)


def _describe(parameter: Leaf) -> tuple[str, str]:
    """The values and the scale of a parameter."""
    if isinstance(parameter, Constant):
        return repr(parameter.value), "constant"
    if isinstance(parameter, Choice):
        if parameter.probabilities is None:
            return ", ".join(map(repr, parameter.values)), "choice"
        total = sum(parameter.probabilities)
        shares = zip(parameter.values, parameter.probabilities, strict=True)
        return ", ".join(f"{value!r} {weight / total:.0%}" for value, weight in shares), "choice"
    if isinstance(parameter, Distribution):
        keys = DISTRIBUTIONS[parameter.distribution]
        return ", ".join(f"{key} {getattr(parameter, key)}" for key in keys), parameter.distribution
    kind = "int" if parameter.is_int else "float"
    step = f" step {parameter.step}" if parameter.step is not None else ""
    others = "".join(f" or {value!r}" for value in parameter.alternatives or ())
    return f"{parameter.min} to {parameter.max}{step}{others}", f"{kind}, log" if parameter.log else kind
