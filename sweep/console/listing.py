"""The table of `sweep ls`."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from sweep.analysis import formatting as text
from sweep.analysis.cost import Cost
from sweep.analysis.status import started_at
from sweep.analysis.view import SweepView
from sweep.console.tables import best_text, cut_off, make_console
from sweep.errors import InputError

_STYLES = {"running": "cyan", "finished": "green", "interrupted": "yellow"}


def print_listing(sweeps: Mapping[str, SweepView | InputError]) -> None:
    """Print one line per sweep, in this order. On a terminal, the best trials are cut off, if anything."""
    console = make_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("sweep", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("trials", "slot hours", "age"):
        table.add_column(title, no_wrap=True, justify="right")
    table.add_column("best")  # rich narrows the columns first that can be wrapped; the cells are not
    for name, view in sweeps.items():
        if isinstance(view, InputError):
            table.add_row(
                text.printable(name),
                Text("unreadable", "red"),
                "",
                "",
                "",
                cut_off(text.printable(str(view))),
            )
            continue
        of = "" if view.total is None else f"/{view.total}"
        cost = Cost.of(view).slot_hours
        table.add_row(
            text.printable(name),
            Text(view.state, _STYLES[view.state]),
            f"{view.finished_trials}{of}",
            f"{cost:.2f}" if cost else "-",
            text.duration(max(0.0, time.time() - started_at(view))),
            cut_off(best_text(view)),
        )
    console.print(table)
