"""`Picture`: what the live display shows of a running sweep, laid out for a width and a height."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from sweep.analysis import formatting as text
from sweep.console.sparkline import Curve, shape
from sweep.messages import BestTrial, Progress, RunningTrial

RunKey = tuple[int, int, int]
"""The trial's number, the index of the repeat, and the number of the attempt."""
_Span = tuple[str, str]
"""A text and its style."""
_Line = list[_Span]

_COUNT_STYLES = {"complete": "green", "pruned": "yellow", "failed": "red"}
_WIDEST = 160
"""Wider lines are hard to read."""
_MOST_RUNNING = 30
_MOST_RECENT = 5
_GAP = "  "


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Args:
        name: the trial, or its repeat.
        outcome: complete, pruned, failed and so on.
        style: the style of the outcome.
        value: the value of the metric.
        took: the duration in seconds.
        note: the reason, the step, or the parameters.
    """

    name: str
    outcome: str
    style: str
    value: float | None
    took: float
    note: str


@dataclass(frozen=True)
class Picture:
    """A sweep at a moment. It fits into the width and the height that it is given.

    Args:
        name: the sweep's name.
        state: what it does.
        metric: the name of the first goal.
        reported: the name of the metric that trials report.
        progress: the state of the sweep.
        now: the time, in seconds since the epoch.
        elapsed: how long the sweep has run, in seconds.
        left: the time left as text; empty if it is unknown.
        slots: how many trials can run at once, if it is known.
        curves: what the running trials have reported.
        endings: the last endings, the last one first.
        varied: the names of the parameters that are shown; None for all.
    """

    name: str
    state: str
    metric: str
    reported: str
    progress: Progress
    now: float
    elapsed: float
    left: str = ""
    slots: int | None = None
    curves: Mapping[RunKey, Curve] = field(default_factory=dict)
    endings: Sequence[Ending] = ()
    varied: Set[str] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        # The terminal keeps lines that leave it at the top: when it becomes narrower, lines are wrapped.
        height = max(min(options.size.height - 1, 12), options.size.height * 3 // 4)
        lines = _Layout(self, width, height, options.ascii_only).lines()
        for line in lines[:height]:
            yield from (Segment(part, console.get_style(style) if style else None) for part, style in line)
            yield Segment.line()

    def params(self, params: Mapping[str, Any]) -> list[str]:
        """The parameters of a trial as `name=value`, one by one."""
        return [
            text.parameters({name: value})
            for name, value in params.items()
            if self.varied is None or name in self.varied
        ]


class _Layout:
    """Lays out a picture.

    Args:
        picture: the picture.
        width: the width in cells.
        height: the height in lines.
        is_ascii: use only ASCII characters.
    """

    def __init__(self, picture: Picture, width: int, height: int, is_ascii: bool) -> None:
        self._picture = picture
        self._progress = picture.progress
        self._width = width
        self._height = height
        self._is_ascii = is_ascii
        self._ellipsis = "..." if is_ascii else "…"
        self._gap_line: list[_Line] = [[]] if height >= 18 else []

    def lines(self) -> list[_Line]:
        """The lines of the picture."""
        head = [self._title(), *self._flow(self._facts())]
        if self._progress.best is not None:
            head += self._best(self._progress.best, most=3 if self._height >= 18 else 1)
        room = self._height - len(head)
        recent = self._recent(min(_MOST_RECENT, (room - len(self._gap_line)) // 3))
        return head + self._running(room - len(recent)) + recent

    # The head: name and bar, times and counts, the best trial.

    def _title(self) -> _Line:
        progress = self._progress
        of = "" if progress.total is None else f"/{progress.total}"
        noun = "trial" if (progress.total or progress.finished) == 1 else "trials"
        count = f"{progress.finished}{of} {noun}"
        state = self._picture.state
        name = self._fit(
            text.printable(self._picture.name), max(8, self._width - len(count) - len(state) - 4)
        )
        line = [(name, "bold"), (_GAP, ""), (state, "cyan"), (_GAP, "")]
        room = self._width - sum(cell_len(part) for part, _ in line) - len(count) - len(_GAP)
        bar = self._bar(min(room, 60)) if room >= 8 else []
        return [*line, *bar, *([(_GAP, "")] if bar else []), (count, "bold")]

    def _bar(self, width: int) -> _Line:
        """The trials by state as shares of all; without a number of trials, the share of the time."""
        progress, full, empty = self._progress, "━", "─"
        if self._is_ascii:
            full, empty = "#", "-"
        if progress.total is not None:
            shares = [(progress.counts[state], style) for state, style in _COUNT_STYLES.items()]
            total = float(max(progress.total, progress.finished, 1))
        elif progress.seconds_left is not None:
            shares, total = [(round(progress.elapsed), "cyan")], progress.elapsed + progress.seconds_left
        else:
            return []
        bar: _Line = []
        done, until = 0, 0
        for count, style in shares:
            until += count
            cells = int(width * until / max(total, 1e-9))
            bar.append((full * (cells - done), style))
            done = cells
        return [*bar, (empty * (width - done), "dim")]

    def _facts(self) -> list[_Line]:
        picture, progress = self._picture, self._progress
        left = f", {picture.left} left" if picture.left else ""
        facts: list[_Line] = [[(f"{text.duration(picture.elapsed)}{left}", "")]]
        if picture.slots is not None:
            facts.append([(f"{len(progress.running)}/{picture.slots} slots busy", "")])
        counts: _Line = []
        for state, style in _COUNT_STYLES.items():
            if progress.counts[state]:
                counts += [(", ", "")] if counts else []
                counts.append((f"{progress.counts[state]} {state}", style))
        if progress.counts["waiting"]:
            counts += [(", ", "")] if counts else []
            counts.append((f"{progress.counts['waiting']} waiting", "dim"))
        return [*facts, counts] if counts else facts

    def _best(self, best: BestTrial, most: int) -> list[_Line]:
        """The best trial, with as many of its parameters as fit into some lines."""
        ago = ""
        if best.finished is not None:
            ago = f", {text.duration(max(0.0, self._picture.now - best.finished))} ago"
        values = ", ".join(map(text.number, best.values or (best.value,)))
        start: _Line = [("best", "bold"), (_GAP, "")]
        metric = self._fit(text.printable(self._picture.metric), self._width // 3)
        start += [(f"{metric} {values}", "bold green"), (f"{_GAP}trial {best.number}{ago}", "")]
        params: list[_Line] = [[(item, "")] for item in self._picture.params(best.params)]
        lines = self._flow([start, *params], indent=len("best") + len(_GAP))
        if len(lines) > most:
            lines = lines[:most]
            lines[-1] = self._cut([*lines[-1], (f" {self._ellipsis}", "dim")])
        return lines

    def _flow(self, items: Iterable[_Line], indent: int = 0) -> list[_Line]:
        """Items one after another, on as many lines as they need."""
        lines: list[_Line] = []
        used = 0
        for item in items:
            item = self._cut(item, self._width - indent)
            width = sum(cell_len(part) for part, _ in item)
            if lines and used + len(_GAP) + width <= self._width:
                lines[-1] += [(_GAP, ""), *item]
                used += len(_GAP) + width
            else:
                start: _Line = [(" " * indent, "")] if lines and indent else []
                used = width + (indent if start else 0)
                lines.append([*start, *item])
        return lines

    # The tables.

    def _running(self, room: int) -> list[_Line]:
        trials = self._progress.running
        rows = min(room - 1 - len(self._gap_line), _MOST_RUNNING)
        if not trials or rows < 1:
            return []
        shown = trials[: rows if len(trials) <= rows else rows - 1]
        more = len(trials) - len(shown)
        curves = [self._picture.curves.get((it.number, it.repeat, it.attempt)) for it in shown]
        has_curves = any(curve is not None and len(curve.values) > 1 for curve in curves)
        columns = ["trial", "time", "step", text.printable(self._picture.reported)]
        rights = [True, True, True, True]
        if has_curves:
            columns.append("curve")
            rights.append(False)
        cells = [
            self._running_cells(trial, curve, has_curves) for trial, curve in zip(shown, curves, strict=True)
        ]
        header: list[_Line] = [[(name, "dim")] for name in [*columns, "parameters"]]
        table = self._table([header, *cells], [*rights, False])
        end: list[_Line] = [[(f"{_GAP}and {more} more", "dim")]] if more else []
        return [*self._gap_line, *table, *end]

    def _running_cells(self, trial: RunningTrial, curve: Curve | None, has_curves: bool) -> list[_Line]:
        last = curve.last if curve is not None and curve.last is not None else trial.last
        params = _GAP.join(self._picture.params(trial.params))
        attempt = f"attempt {trial.attempt}{_GAP}" if trial.attempt > 1 else ""
        cells: list[_Line] = [
            [(text.printable(text.run(trial.number, trial.label)), "bold")],
            [(text.duration(max(0.0, self._picture.now - trial.started)), "")],
            [("-" if last is None else str(last[0]), "")],
            [("-" if last is None else text.number(last[1]), "")],
        ]
        if has_curves:
            width = max(8, min(24, (self._width - 40) // 5))
            line = "" if curve is None else shape(curve.values, width, self._is_ascii)
            cells.append([(line.ljust(width), "cyan")])
        return [*cells, [(attempt, "yellow"), (params, "")]]

    def _recent(self, most: int) -> list[_Line]:
        endings = self._picture.endings[: max(0, most)]
        if not endings or (self._progress.running and most < 2):
            return []
        rows: list[list[_Line]] = [
            [
                [(text.printable(ending.name), "bold")],
                [(ending.outcome, ending.style)],
                [(text.number(ending.value), "")],
                [(text.duration(ending.took), "")],
                [(text.printable(ending.note), ending.style if ending.style == "red" else "")],
            ]
            for ending in endings
        ]
        return [*self._gap_line, *self._table(rows, [True, False, True, True, False])]

    def _table(self, rows: list[list[_Line]], is_right: Sequence[bool]) -> list[_Line]:
        """Rows with aligned columns. The last column has the rest of the width. rich's own tables cost a
        millisecond for each row.
        """
        widest = max(10, self._width // 5)
        rows = [[*(self._cut(cell, widest) for cell in row[:-1]), row[-1]] for row in rows]
        lengths = [[sum(cell_len(part) for part, _ in cell) for cell in row] for row in rows]
        widths = [max(column) for column in zip(*lengths, strict=True)]
        widths = [max(pair) for pair in zip_longest(widths, _LEAST_WIDTHS[: len(widths)], fillvalue=0)]
        lines = []
        for row, row_lengths in zip(rows, lengths, strict=True):
            line: _Line = []
            for cell, length, width, right in zip(row[:-1], row_lengths, widths, is_right, strict=False):
                blank = (" " * (width - length), "")
                line += [blank, *cell] if right else [*cell, blank]
                line.append((_GAP, ""))
            lines.append(self._cut([*line, *row[-1]]))
        return lines

    def _cut(self, line: _Line, width: int | None = None) -> _Line:
        """A line that is not wider than `width`, or than the picture."""
        left = self._width if width is None else width
        if sum(cell_len(part) for part, _ in line) <= left:
            return line
        cut: _Line = []
        for part, style in line:
            if cell_len(part) >= left:
                return [*cut, (self._fit(part + self._ellipsis, left), style)]
            cut.append((part, style))
            left -= cell_len(part)
        return cut

    def _fit(self, content: str, width: int) -> str:
        if cell_len(content) <= width:
            return content
        return set_cell_size(content, max(0, width - len(self._ellipsis))) + self._ellipsis[:width]


_LEAST_WIDTHS = (5, 6, 5, 8)
"""Columns do not move with every digit."""
