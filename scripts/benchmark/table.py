"""Medians and ratios of repeated measurements as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmark.case import Case, Column, Values

Runs = Mapping[Case, Sequence[Values | str]]
"""The repetitions of each case: values by name, or why there are none."""


def table(titles: Mapping[str, str], columns: Sequence[Column], runs: Runs) -> str:
    """A table with a row for each contestant, and a footnote for each cell without a value.

    Args:
        titles: the titles of all contestants by their names. Ratios are to the first one.
        columns: the columns.
        runs: the measurements.
    """
    by_cell = {(case.contestant, case.label): values for case, values in runs.items()}
    names = [name for name in titles if any(case.contestant == name for case in runs)]
    notes: list[str] = []
    lines = [
        "| | " + " | ".join(column.heading for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name in names:
        cells = [
            _cell(
                by_cell.get((name, column.label), ()),
                by_cell.get((names[0], column.label), ()) if name != names[0] else (),
                column,
                notes,
            )
            for column in columns
        ]
        lines.append(f"| {titles[name]} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1))] if notes else []
    return "\n".join(lines)


def median(repetitions: Sequence[Values | str], value: str) -> float | None:
    """The median of a value over the repetitions that have it; None if none has."""
    found = [values[value] for values in repetitions if not isinstance(values, str) and value in values]
    return statistics.median(found) if found else None


def _cell(
    repetitions: Sequence[Values | str], first: Sequence[Values | str], column: Column, notes: list[str]
) -> str:
    middle = median(repetitions, column.value)
    if middle is None:
        reason = next((values for values in repetitions if isinstance(values, str)), None)
        if reason is not None and reason not in notes:
            notes.append(reason)
        return "-" if reason is None else f"- ({notes.index(reason) + 1})"
    text = format(middle, column.form)
    base = median(first, column.value) if column.ratio else None
    return f"{text} ({middle / base:.3g} times)" if base else text
