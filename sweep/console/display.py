"""What `sweep run` shows while it runs: a live display, a line per event, or nothing."""

from __future__ import annotations

import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sweep.analysis import formatting as text
from sweep.engine.observer import Observer
from sweep.messages import Assignment, AttemptResult, Progress, RunningTrial
from sweep.sweepfile import SweepSpec


class Display(Observer):
    """Shows nothing; the base of those that do. Entered for as long as it may draw."""

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class LineLog(Display):
    """One line per event, for logs and terminals that cannot redraw.

    Args:
        spec: what runs.
    """

    def __init__(self, spec: SweepSpec) -> None:
        self._metric = spec.metric.name
        self._parameters = _Parameters(spec)
        self._asks = spec.is_define_by_run
        self._quiet_since = time.monotonic()

    def on_startup(self, what: str) -> None:
        _say(f"starting {what} ...")

    def on_note(self, text: str) -> None:
        _say(f"note: {text}")

    def on_ready(self, slots: int, progress: Progress) -> None:
        total = "no end of trials" if progress.total is None else text.plural(progress.total, "trial")
        done = f", {progress.finished} of them finished before" if progress.finished else ""
        _say(f"{total}{done}; {slots} at once")

    def on_attempt_start(self, assignment: Assignment) -> None:
        self._quiet_since = time.monotonic()
        again = f" (attempt {assignment.attempt})" if assignment.attempt > 1 else ""
        name = text.run(assignment.number, assignment.label)
        line = self._parameters.line(assignment.params)
        _say(f"trial {name} started{again}{': ' if line else ''}{line}")

    def on_attempt_end(self, result: AttemptResult) -> None:
        self._quiet_since = time.monotonic()
        took = text.duration(result.duration_s)
        value = "" if result.value is None else f": {self._metric}={text.number(result.value)}"
        name = text.run(result.number, result.label)
        if result.is_over:
            _say(f"trial {name} {_HOW.get(result.kind, 'failed')} after {took}{value}{_why(result)}")
        elif result.will_run_again and result.kind == "interrupted":
            _say(f"trial {name} was interrupted after {took}: {result.reason}")
        elif result.will_run_again:
            _say(f"trial {name} failed after {took}{_again(result)}: {result.reason}")
        elif result.state == "FAIL":
            _say(f"trial {result.number} FAIL after {took}: {result.reason}")
        else:
            best = " (best so far)" if result.is_best else f" ({result.reason})" if result.reason else ""
            if self._asks:  # nobody knew them when it started
                value += f" with {self._parameters.line(result.params)}"
            _say(f"trial {result.number} {result.state} after {took}{value}{best}")

    def on_progress(self, progress: Progress) -> None:
        """Say that it lives, if nothing has been said for long."""
        if time.monotonic() - self._quiet_since < _LONG or not progress.running:
            return
        self._quiet_since = time.monotonic()
        _say(f"running: {'; '.join(map(self._stands, progress.running[:_SHOWN_ROWS]))}")

    @staticmethod
    def _stands(trial: RunningTrial) -> str:
        since = text.duration(max(0.0, time.time() - trial.started))
        last = f", step {trial.last.step}: {text.number(trial.last.value)}" if trial.last is not None else ""
        return f"trial {text.run(trial.number, trial.label)} for {since}{last}"


_LONG = 60.0  # seconds
_HOW = {"returned": "is done", "pruned": "was pruned", "stopped": "was stopped", "interrupted": "was stopped"}
"""What became of a repeat whose trial goes on."""


def _why(result: AttemptResult) -> str:
    return f": {result.reason}" if result.reason and result.kind not in ("pruned", "interrupted") else ""


class _Parameters:
    """The parameters of a trial on one line, without the constants: they say nothing about it."""

    def __init__(self, spec: SweepSpec) -> None:
        self._varied = None if spec.is_define_by_run else set(spec.varied)

    def line(self, params: Mapping[str, Any]) -> str:
        shown = {key: value for key, value in params.items() if self._varied is None or key in self._varied}
        return text.parameters(shown)


def _again(result: AttemptResult) -> str:
    if not result.will_run_again:
        return ""
    when = f" in {text.duration(result.again_in)}" if result.again_in >= 1 else ""
    return f" and will run again{when}"


def _say(line: str) -> None:
    print(line, flush=True)


def choose(spec: SweepSpec, is_plain: bool) -> Display:
    """What suits the terminal: a live display if it can redraw, unless `is_plain`, or a line per event."""
    return LineLog(spec) if is_plain or not sys.stdout.isatty() else Live(spec)


_SHOWN_ROWS = 16
_WIDTH_FOR_BAR = 76


@contextmanager
def _no_echo() -> Iterator[None]:
    """Keep the terminal from showing what is typed: a `^C` in the display moves it by a line."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


class Live(Display):
    """A display that is redrawn a few times a second: progress, the best trial, and what runs now.

    Args:
        spec: what runs.
        console: where to draw it.
    """

    wants_frequent_progress = True

    def __init__(self, spec: SweepSpec, console: Console | None = None) -> None:
        self._metric = spec.metric.name
        self._parameters = _Parameters(spec)
        self._console = console or Console(markup=False, emoji=False)
        self._live = RichLive(console=self._console, refresh_per_second=4, transient=True)
        self._exits = ExitStack()
        self._slots = 0
        self._opened = 0.0
        self._finished_before = 0
        self._reckoned_at: tuple[int, int | None] | None = None
        self._expected_end: float | None = None

    def __enter__(self) -> Live:
        self._exits.enter_context(_no_echo())
        self._exits.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def on_startup(self, what: str) -> None:
        self._live.update(Spinner("dots", f" starting {what} ..."))

    def on_note(self, text: str) -> None:
        self._live.console.print(f"note: {text}", highlight=False, markup=False)

    def on_ready(self, slots: int, progress: Progress) -> None:
        self._slots = slots
        self._opened = time.monotonic()
        self._finished_before = progress.finished
        self.on_progress(progress)

    def on_attempt_end(self, result: AttemptResult) -> None:
        """Failures stay on the screen: what ran well is in the table and in TensorBoard."""
        if result.state == "FAIL" or (result.will_run_again and result.kind != "interrupted"):
            name = text.run(result.number, result.label if result.state is None else "")
            self._live.console.print(
                Text(f"trial {name} failed{_again(result)}: {result.reason}", style="red"),
                soft_wrap=True,
            )

    def on_progress(self, progress: Progress) -> None:
        self._live.update(self._draw(progress))

    def _draw(self, progress: Progress) -> Group:
        parts: list[Table | Text] = [self._headline(progress)]
        ended = {name: progress.counts[name] for name in ("complete", "pruned", "failed")}
        if progress.finished:
            parts.append(Text.assemble(("ended ", "bold"), text.counts(ended)))
        if progress.best is not None:
            best = progress.best
            parts.append(
                Text.assemble(
                    ("best  ", "bold"),
                    (f"{self._metric} {text.number(best.value)}", "green"),
                    f"  trial {best.number}  {self._parameters.line(best.params)}",
                    overflow="ellipsis",
                    no_wrap=True,
                )
            )
        if progress.running:
            parts.append(self._running(progress))
        return Group(*parts)

    def _headline(self, progress: Progress) -> Table:
        of = "" if progress.total is None else f"/{progress.total}"
        line = Table.grid(padding=(0, 2))
        cells: list[ProgressBar | Text] = [Text(f"{progress.finished}{of} trials", style="bold")]
        if progress.total is not None and self._console.width >= _WIDTH_FOR_BAR:
            cells.append(ProgressBar(total=progress.total, completed=progress.finished, width=16))
        cells.append(Text(f"{text.duration(progress.elapsed)}{self._time_left(progress)}"))
        cells.append(Text(f"{len(progress.running)}/{self._slots} slots busy"))
        for _ in cells:
            line.add_column(no_wrap=True)
        line.add_row(*cells)
        return line

    def _time_left(self, progress: Progress) -> str:
        """From the pace of this session; nothing is said before a trial has ended, or if it takes longer."""
        now = time.monotonic()
        if (progress.finished, progress.total) != self._reckoned_at:  # between two ends it is counted down
            self._reckoned_at = progress.finished, progress.total
            self._expected_end = self._reckon(progress, now)
        estimates = [] if self._expected_end is None else [self._expected_end - now]
        if progress.seconds_left is not None:
            estimates.append(progress.seconds_left)
        left = min(estimates, default=0.0)
        return f", {text.duration(left)} left" if left > 0 else ""

    def _reckon(self, progress: Progress, now: float) -> float | None:
        """When the last trial will have ended."""
        here = progress.finished - self._finished_before
        if progress.total is None or here <= 0:
            return None
        return now + (now - self._opened) / here * (progress.total - progress.finished)

    def _running(self, progress: Progress) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False, expand=True)
        for name in ("trial", "time", "step"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column(self._metric, justify="right", no_wrap=True)
        table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
        now = time.time()
        for trial in progress.running[:_SHOWN_ROWS]:
            table.add_row(
                text.run(trial.number, trial.label),
                text.duration(max(0.0, now - trial.started)),
                str(trial.last.step) if trial.last else "-",
                text.number(trial.last.value) if trial.last else "-",
                self._parameters.line(trial.params),
            )
        if len(progress.running) > _SHOWN_ROWS:
            table.add_row("...", "", "", "", f"and {len(progress.running) - _SHOWN_ROWS} more")
        return table
