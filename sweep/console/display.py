"""The progress display of `sweep run`: redrawn in place, or one line per event."""

from __future__ import annotations

import os
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sweep.analysis import formatting as text
from sweep.engine.observer import Observer
from sweep.messages import Assignment, AttemptResult, Progress, RunningTrial
from sweep.sweepfile import SweepSpec


class Display(Observer):
    """Displays the progress of a sweep on the terminal. A context manager.

    Args:
        spec: the sweep.
    """

    def __init__(self, spec: SweepSpec) -> None:
        self._name = spec.name
        self._metric = spec.metric.name
        self._varied = None if spec.is_define_by_run else set(spec.varied)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def _params(self, params: Mapping[str, Any]) -> str:
        """The parameters of a trial on one line, without constants."""
        return text.parameters(
            {key: value for key, value in params.items() if self._varied is None or key in self._varied}
        )


class LineDisplay(Display):
    """One line per event, for logs and terminals that cannot redraw."""

    def __init__(self, spec: SweepSpec) -> None:
        super().__init__(spec)
        self._last_line = time.monotonic()

    def on_startup(self, activity: str) -> None:
        _print(f"{activity} ...")

    def on_note(self, text: str) -> None:
        _print(f"note: {text}")

    def on_ready(self, slots: int, progress: Progress) -> None:
        total = "unlimited trials" if progress.total is None else text.plural(progress.total, "trial")
        done = f", {progress.finished} of them already finished" if progress.finished else ""
        _print(f"{total}{done}; {slots} at once")

    def on_attempt_start(self, assignment: Assignment) -> None:
        self._last_line = time.monotonic()
        attempt = f" (attempt {assignment.attempt})" if assignment.attempt > 1 else ""
        name = text.run(assignment.number, assignment.label)
        params = self._params(assignment.params)
        _print(f"trial {name} started{attempt}{': ' if params else ''}{params}")

    def on_attempt_end(self, result: AttemptResult) -> None:
        self._last_line = time.monotonic()
        took = text.duration(result.duration_s)
        value = "" if result.value is None else f": {self._metric}={text.number(result.value)}"
        name = text.run(result.number, result.label)
        if result.is_repeat_finished:
            why = f": {result.reason}" if result.reason and result.kind not in _EXPECTED else ""
            _print(f"trial {name} {_REPEAT_ENDS.get(result.kind, 'failed')} after {took}{value}{why}")
        elif result.will_retry and result.kind == "interrupted":
            _print(f"trial {name} was interrupted after {took}: {result.reason}")
        elif result.will_retry:
            _print(f"trial {name} failed after {took}{_retry(result)}: {result.reason}")
        elif result.state == "FAIL":
            _print(f"trial {result.number} FAIL after {took}: {result.reason}")
        else:
            best = " (best so far)" if result.is_best else f" ({result.reason})" if result.reason else ""
            if self._varied is None:  # define-by-run: they were not known when the trial started
                value += f" with {self._params(result.params)}"
            _print(f"trial {result.number} {result.state} after {took}{value}{best}")

    def on_progress(self, progress: Progress) -> None:
        """Print the running trials if nothing has been printed for a minute."""
        if time.monotonic() - self._last_line < _HEARTBEAT or not progress.running:
            return
        self._last_line = time.monotonic()
        _print(f"running: {'; '.join(map(self._describe, progress.running[:_MAX_ROWS]))}")

    @staticmethod
    def _describe(trial: RunningTrial) -> str:
        since = text.duration(max(0.0, time.time() - trial.started))
        last = f", step {trial.last.step}: {text.number(trial.last.value)}" if trial.last is not None else ""
        return f"trial {text.run(trial.number, trial.label)} for {since}{last}"


_HEARTBEAT = 60.0  # seconds
_REPEAT_ENDS = {
    "returned": "is done",
    "pruned": "was pruned",
    "stopped": "was stopped",
    "interrupted": "was stopped",
}
"""How a repeat ended, for a trial whose other repeats have not finished."""
_EXPECTED = ("pruned", "interrupted")
"""Endings that need no reason."""


def _retry(result: AttemptResult) -> str:
    if not result.will_retry:
        return ""
    when = f" in {text.duration(result.retry_in)}" if result.retry_in >= 1 else ""
    return f" and will run again{when}"


def _print(line: str) -> None:
    print(line, flush=True)


def make_display(spec: SweepSpec, is_plain: bool) -> Display:
    """A display that is redrawn if stdout is a terminal, unless `is_plain`; otherwise one line per event."""
    return LineDisplay(spec) if is_plain or not sys.stdout.isatty() else LiveDisplay(spec)


_MAX_ROWS = 16
_MIN_WIDTH_FOR_BAR = 76


@contextmanager
def _no_echo() -> Iterator[None]:
    """Turn off the terminal's echo: a typed `^C` would move the display by a line."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


class LiveDisplay(Display):
    """Progress, the best trial and the running trials, redrawn a few times a second.

    Args:
        spec: the sweep.
        console: the console to draw on.
    """

    wants_frequent_progress = True

    def __init__(self, spec: SweepSpec, console: Console | None = None) -> None:
        super().__init__(spec)
        self._console = console or Console(markup=False, emoji=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._exits = ExitStack()
        self._slots = 0
        self._opened = 0.0
        self._already_finished = 0
        self._estimated_at: tuple[int, int | None] | None = None
        self._expected_end: float | None = None

    def __enter__(self) -> LiveDisplay:
        self._exits.enter_context(_no_echo())
        self._exits.enter_context(self._live)
        self.on_startup(f"starting {self._name}")
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def on_startup(self, activity: str) -> None:
        spinner = "dots" if self._console.encoding.lower().startswith("utf") else "line"
        self._live.update(Spinner(spinner, f" {activity} ..."), refresh=True)

    def on_note(self, text: str) -> None:
        self._live.console.print(f"note: {text}", highlight=False, markup=False)

    def on_ready(self, slots: int, progress: Progress) -> None:
        self._slots = slots
        self._opened = time.monotonic()
        self._already_finished = progress.finished
        self.on_progress(progress)

    def on_attempt_end(self, result: AttemptResult) -> None:
        """Print failures, which stay on the screen above the display."""
        if result.state == "FAIL" or (result.will_retry and result.kind != "interrupted"):
            name = text.run(result.number, result.label if result.state is None else "")
            self._live.console.print(
                Text(f"trial {name} failed{_retry(result)}: {result.reason}", style="red"),
                soft_wrap=True,
            )

    def on_progress(self, progress: Progress) -> None:
        self._live.update(self._draw(progress))

    def _draw(self, progress: Progress) -> Group:
        parts: list[Table | Text] = [self._headline(progress)]
        finished = {name: progress.counts[name] for name in ("complete", "pruned", "failed")}
        if progress.finished:
            parts.append(Text.assemble(("done  ", "bold"), text.counts(finished)))
        if progress.best is not None:
            best = progress.best
            parts.append(
                Text.assemble(
                    ("best  ", "bold"),
                    (f"{self._metric} {text.number(best.value)}", "green"),
                    f"  trial {best.number}  {self._params(best.params)}",
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
        if progress.total is not None and self._console.width >= _MIN_WIDTH_FOR_BAR:
            cells.append(ProgressBar(total=progress.total, completed=progress.finished, width=16))
        cells.append(Text(f"{text.duration(progress.elapsed)}{self._time_left(progress)}"))
        cells.append(Text(f"{len(progress.running)}/{self._slots} slots busy"))
        for _ in cells:
            line.add_column(no_wrap=True)
        line.add_row(*cells)
        return line

    def _time_left(self, progress: Progress) -> str:
        """The estimated time left, empty before the first trial has finished and once it is exceeded."""
        now = time.monotonic()
        if (progress.finished, progress.total) != self._estimated_at:  # in between it is counted down
            self._estimated_at = progress.finished, progress.total
            self._expected_end = self._estimate_end(progress, now)
        estimates = [] if self._expected_end is None else [self._expected_end - now]
        if progress.seconds_left is not None:
            estimates.append(progress.seconds_left)
        seconds = min(estimates, default=0.0)
        return f", {text.duration(seconds)} left" if seconds > 0 else ""

    def _estimate_end(self, progress: Progress, now: float) -> float | None:
        """When the last trial will finish, at the average pace of this run."""
        finished = progress.finished - self._already_finished
        if progress.total is None or finished <= 0:
            return None
        return now + (now - self._opened) / finished * (progress.total - progress.finished)

    def _running(self, progress: Progress) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False, expand=True)
        for name in ("trial", "time", "step"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column(self._metric, justify="right", no_wrap=True)
        table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
        now = time.time()
        for trial in progress.running[:_MAX_ROWS]:
            table.add_row(
                text.run(trial.number, trial.label),
                text.duration(max(0.0, now - trial.started)),
                str(trial.last.step) if trial.last else "-",
                text.number(trial.last.value) if trial.last else "-",
                self._params(trial.params),
            )
        if len(progress.running) > _MAX_ROWS:
            table.add_row("...", "", "", "", f"and {len(progress.running) - _MAX_ROWS} more")
        return table
