"""The display that is redrawn in place: `LiveDisplay` on a terminal, `NotebookDisplay` as HTML."""

from __future__ import annotations

import io
import os
import termios
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, cast

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.control import Control
from rich.live import Live
from rich.live_render import LiveRender
from rich.segment import ControlType, Segment
from rich.spinner import Spinner
from rich.text import Text

from sweep.analysis import formatting as text
from sweep.analysis.formatting import printable
from sweep.analysis.time_left import TimeLeft
from sweep.console.display import Display, retry_text
from sweep.console.picture import Ending, Picture, RunKey
from sweep.console.sparkline import Curve
from sweep.controller.common_failure import failure_patterns
from sweep.messages import AttemptResult, Progress, ReportEvent
from sweep.sweepfile import SweepSpec

_KEPT_ENDINGS = 8
_MOST_KINDS = 20
"""How many kinds of failures stay on the screen above the display."""
_NOTEBOOK_INTERVAL = 1.0
"""Seconds between two updates of a notebook, which keeps none of them but sends each over a network."""
_NOTEBOOK_SIZE = 110, 40


class PictureDisplay(Display):
    """Remembers what a picture of a running sweep shows.

    What is needed for the curves is remembered from one progress to the next, so that the controller sends
    nothing for them.

    Args:
        spec: the sweep.
    """

    wants_frequent_progress = True

    def __init__(self, spec: SweepSpec) -> None:
        super().__init__(spec)
        self._reported = spec.pruning_metric.name
        stop = spec.stop
        self._can_stop_early = stop.target is not None or stop.plateau is not None
        self._slots: int | None = None
        self._progress: Progress | None = None
        self._received = 0.0
        self._has_ended = False
        self._time_left = TimeLeft(len(spec.run_labels))
        self._curves: dict[RunKey, Curve] = {}
        self._endings: deque[Ending] = deque(maxlen=_KEPT_ENDINGS)

    def on_ready(self, slots: int, progress: Progress) -> None:
        self._slots = slots or None
        self._time_left.start(slots or 1)
        self.on_progress(progress)

    def on_reports(self, report_events: Iterable[ReportEvent]) -> None:
        for event in report_events:
            curve = self._curves.setdefault((event.number, event.repeat, event.attempt), Curve())
            curve.add(event.report.step, event.report.value)

    def on_progress(self, progress: Progress) -> None:
        curves: dict[RunKey, Curve] = {}
        for trial in progress.running:
            key = trial.number, trial.repeat, trial.attempt
            curves[key] = self._curves.get(key) or Curve()
            if trial.last is not None:
                curves[key].add(trial.last.step, trial.last.value)
        self._curves = curves
        if self._slots is not None and progress.slots not in (0, self._slots):
            self._slots = progress.slots
            self._time_left.start(progress.slots)
        self._progress, self._received = progress, time.monotonic()

    def on_history(self, results: Sequence[AttemptResult]) -> None:
        for result in results:
            PictureDisplay.on_attempt_end(self, result)

    def on_attempt_end(self, result: AttemptResult) -> None:
        self._endings.appendleft(self._ending(result))
        self._time_left.add(result)

    def picture(self) -> Picture | None:
        """The sweep as it is known now; None before it is ready."""
        progress = self._progress
        if progress is None:
            return None
        since = 0.0 if self._has_ended else time.monotonic() - self._received
        return Picture(
            name=self._name,
            state=self._state(progress),
            metric=self._metric,
            reported=self._reported,
            progress=progress,
            now=time.time(),
            elapsed=progress.elapsed + since,
            left="" if self._has_ended else self._left(progress, since),
            slots=self._slots,
            curves=self._curves,
            endings=list(self._endings),
            varied=self._varied,
        )

    def _state(self, progress: Progress) -> str:
        if self._has_ended:
            return "interrupted" if progress.stopped_by is None else "finished"
        return "running" if progress.stopped_by is None else "finishing"

    def _left(self, progress: Progress, since: float) -> str:
        """The time left as text: of a time limit it is exact, otherwise an estimate."""
        estimate = self._time_left.seconds(progress)
        limit = None if progress.seconds_left is None else progress.seconds_left - since
        if limit is not None and (estimate is None or limit <= estimate):
            return text.duration(limit) if limit > 0 else ""
        if estimate is None:
            return ""
        most = "at most " if self._can_stop_early else ""
        return f"{most}about {text.duration(estimate) if estimate >= 59.5 else f'{estimate:.0f} s'}"

    def _ending(self, result: AttemptResult) -> Ending:
        note = result.reason
        if result.is_repeat_finished or result.state == "COMPLETE":
            ends = {"returned": ("complete", "green"), "pruned": ("pruned", "yellow")}
            expected = {**ends, "stopped": ("stopped", "yellow"), "interrupted": ("stopped", "yellow")}
            outcome, style = expected.get(result.kind, ("failed", "red"))
            if result.state == "COMPLETE":
                best = "best so far  " if result.is_best else ""
                outcome, style, note = "complete", "green", best + self._params(result.params)
        elif result.state == "PRUNED":
            outcome, style = "pruned", "yellow"
            step = "" if result.step is None else f"at step {result.step}"
            note = f"{step}{': ' if step and note else ''}{note}"
        elif result.state == "FAIL":
            outcome, style = "failed", "red"
        else:
            outcome = "interrupted" if result.kind == "interrupted" else "failed"
            style, note = "red", f"{retry_text(result).removeprefix(' and ')}: {note}"
        name = text.run(result.number, result.label if result.state is None else "")
        return Ending(name, outcome, style, result.value, result.duration_s, note)


class LiveDisplay(PictureDisplay):
    """The picture of a running sweep on a terminal, redrawn a few times a second.

    Args:
        spec: the sweep.
        console: the console to draw on.
    """

    def __init__(self, spec: SweepSpec, console: Console | None = None) -> None:
        super().__init__(spec)
        self._console = console or Console(markup=False, emoji=False)
        self._startup: RenderableType = ""
        self._live = Live(
            console=self._console, refresh_per_second=4, transient=True, get_renderable=self._renderable
        )
        self._live._live_render = _SteadyRender(self._console)
        self._exits = ExitStack()
        self._kinds: set[str] = set()
        """The kinds of failures that were printed."""

    def __enter__(self) -> LiveDisplay:
        self._exits.enter_context(_no_echo())
        self._exits.enter_context(self._live)
        self.on_startup(f"starting {self._name}")
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def _renderable(self) -> RenderableType:
        return self.picture() or self._startup

    def on_startup(self, activity: str) -> None:
        spinner = "dots" if self._console.encoding.lower().startswith("utf") else "line"
        self._startup = Spinner(spinner, f" {printable(activity)} ...")
        self._live.refresh()

    def on_note(self, text: str) -> None:
        self._live.console.print(f"note: {printable(text)}", highlight=False, markup=False)

    def on_attempt_end(self, result: AttemptResult) -> None:
        """Print the first failure of each kind, which stays on the screen above the display."""
        super().on_attempt_end(result)
        if result.state != "FAIL" and (not result.will_retry or result.kind == "interrupted"):
            return
        (kind,) = failure_patterns([(result.reason, result.params)])
        if kind in self._kinds or len(self._kinds) >= _MOST_KINDS:
            return
        self._kinds.add(kind)
        name = text.run(result.number, result.label if result.state is None else "")
        self._live.console.print(
            Text(
                f"trial {printable(name)} failed{retry_text(result)}: {printable(result.reason)}", style="red"
            ),
            soft_wrap=True,
        )


_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Ask the terminal to show what is between them at once. Terminals that cannot ignore it."""


class _SteadyRender(LiveRender):
    """Draws over the last picture without flickering, also if the terminal has become narrower since.

    Most terminals then wrap the lines that are too long, so that the picture takes more rows than it had.

    Args:
        console: the console that is drawn on.
    """

    def __init__(self, console: Console) -> None:
        super().__init__("")
        self._console = console
        self._widths: list[int] = []

    def position_cursor(self) -> Control:
        if self._shape is not None:
            width = self._console.width
            self._shape = width, sum(max(1, -(-line // width)) for line in self._widths)
        control = super().position_cursor()
        control.segment = control.segment._replace(text=_BEGIN + control.segment.text)
        return control

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        segments = cast("list[Segment]", list(super().__rich_console__(console, options)))
        self._widths = [Segment.get_line_length(line) for line in Segment.split_lines(segments)]
        yield from segments
        yield Segment(_END, None, [(ControlType.CARRIAGE_RETURN,)])


@contextmanager
def _no_echo() -> Iterator[None]:
    """Turn off the terminal's echo: a typed `^C` would move the display by a line."""
    before: list[Any] | None = None
    with suppress(termios.error, OSError):
        before = termios.tcgetattr(0)
    is_silent = before is not None and _set_terminal([*before[:3], before[3] & ~termios.ECHO, *before[4:]])
    try:
        yield
    finally:
        if before is not None and is_silent:  # in the background, what it was is the mode of the shell
            _set_terminal(before)


def _set_terminal(mode: list[Any]) -> bool:
    """Set the terminal's mode; returns whether it could be set.

    The system would stop a process in the background that sets it, and it can have been closed meanwhile.
    """
    with suppress(termios.error, OSError):
        if os.tcgetpgrp(0) == os.getpgrp():
            termios.tcsetattr(0, termios.TCSADRAIN, mode)
            return True
    return False


class NotebookDisplay(PictureDisplay):
    """The picture of a running sweep as HTML below a notebook's cell, which is updated in place.

    rich's own display for notebooks needs ipywidgets, and clears the output each time.
    """

    def __init__(self, spec: SweepSpec) -> None:
        super().__init__(spec)
        self._handle: Any = None
        self._activity = f"starting {self._name}"
        self._updated = 0.0

    def __enter__(self) -> NotebookDisplay:
        from IPython.display import display

        self._handle = display(self._content(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        self._has_ended = True
        self._update()

    def on_startup(self, activity: str) -> None:
        self._activity = activity
        self._update()

    def on_note(self, text: str) -> None:
        print(f"note: {printable(text)}", flush=True)

    def on_progress(self, progress: Progress) -> None:
        super().on_progress(progress)
        if time.monotonic() - self._updated >= _NOTEBOOK_INTERVAL:
            self._update()

    def _update(self) -> None:
        self._updated = time.monotonic()
        self._handle.update(self._content(), raw=True)

    def _content(self) -> dict[str, str]:
        """The picture as HTML, and as text for notebooks that are read elsewhere."""
        width, height = _NOTEBOOK_SIZE
        console = Console(
            file=io.StringIO(), record=True, width=width, height=height, color_system="truecolor",
            force_terminal=True, force_jupyter=False, markup=False, emoji=False, highlight=False,
        )  # fmt: skip
        console.print(self.picture() or Text(f"{printable(self._activity)} ..."))
        html = console.export_html(inline_styles=True, code_format=_HTML, clear=False)
        return {"text/html": html, "text/plain": console.export_text()}


_HTML = '<pre style="white-space:pre;overflow-x:auto;line-height:1.35;font-family:{}">{{code}}</pre>'.format(
    "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
)
