"""How much each parameter matters, as a table with bars."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweep.analysis.formatting import plural, printable
from sweep.analysis.importance import Importance
from sweep.analysis.metric_importances import MetricImportances
from sweep.console.tables import UNLIMITED, make_console
from sweep.system.streams import can_encode

_WIDTH = 24
"""The width of a bar of 1."""


def print_importances(metric: MetricImportances, *, is_ped: bool) -> None:
    """Print the importance of each parameter for one metric.

    Args:
        metric: the importances.
        is_ped: print those of PED-ANOVA.
    """
    name = printable(metric.metric)
    if not metric.is_enough:
        print(f"{name}: cannot tell which parameters matter: {printable(metric.why_not_enough)}")
        return
    kind, covered = ("PED-ANOVA", "90 %") if is_ped else ("fANOVA", "95 %")
    table = Table("parameter", kind, f"{covered} range", "", box=None, header_style="bold", pad_edge=False)
    for column in table.columns[:3]:
        column.no_wrap = True
    for column in table.columns[1:3]:
        column.justify = "right"
    for one in sorted(metric.parameters, key=lambda one: -(_numbers(one, is_ped)[0] or 0.0)):
        value, low, high = _numbers(one, is_ped)
        if value is None or low is None or high is None:
            table.add_row(printable(one.name), "-", "-", "")
        else:
            cells = (f"{value:.3f}", f"{low:.3f} to {high:.3f}", _bar(value, low, high))
            table.add_row(printable(one.name), *cells)
    trials = plural(metric.complete, "complete trial")
    print(f"{name}: the importance of each parameter, from {trials}")
    console = make_console()
    if console.width < _needed_width(console, table):
        table.columns.pop()  # the bars, which only show what the numbers say
        console.width = max(console.width, _needed_width(console, table))  # a number is never cut off
    console.print(table)


def _needed_width(console: Console, table: Table) -> int:
    return console.measure(table, options=console.options.update(width=UNLIMITED)).maximum


def _numbers(one: Importance, is_ped: bool) -> tuple[float | None, float | None, float | None]:
    """The importance and its range."""
    return (one.ped_anova, one.ped_low, one.ped_high) if is_ped else (one.share, one.low, one.high)


def _bar(value: float, low: float, high: float) -> Text:
    """A bar up to the importance, whose range is marked."""
    full, line = ("█", "─") if can_encode("█─") else ("#", "-")
    filled, first, last = (round(_WIDTH * min(1.0, end)) for end in (value, low, high))
    bar = Text(full * filled, style="cyan")
    bar.stylize("dim", min(first, filled), filled)
    return bar.append(line * max(0, last - filled), style="dim")
