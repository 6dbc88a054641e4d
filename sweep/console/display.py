"""The progress display of `sweep run` and `sweep watch`: one line per event, or redrawn in place."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

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
        self._metric = text.printable(spec.metric.name)
        self._varied = None if spec.is_define_by_run else set(spec.varied)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def on_history(self, results: Sequence[AttemptResult]) -> None:
        """The trials that had finished last when the sweep began to be displayed. Printed as lines, they
        would look as if they had finished just now.
        """

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
        at_once = f"; {slots} at once" if slots else ""
        _print(f"{total}{done}{at_once}")

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
            _print(f"trial {name} failed after {took}{retry_text(result)}: {result.reason}")
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
        _print(f"running: {'; '.join(map(self._describe, progress.running[:_MOST_RUNNING]))}")

    @staticmethod
    def _describe(trial: RunningTrial) -> str:
        since = text.duration(max(0.0, time.time() - trial.started))
        last = f", step {trial.last.step}: {text.number(trial.last.value)}" if trial.last is not None else ""
        return f"trial {text.run(trial.number, trial.label)} for {since}{last}"


_HEARTBEAT = 60.0  # seconds
_MOST_RUNNING = 16
_REPEAT_ENDS = {
    "returned": "is done",
    "pruned": "was pruned",
    "stopped": "was stopped",
    "interrupted": "was stopped",
}
"""How a repeat ended, for a trial whose other repeats have not finished."""
_EXPECTED = ("pruned", "interrupted")
"""Endings that need no reason."""


def retry_text(result: AttemptResult) -> str:
    """What follows a failed attempt, as the end of a sentence; empty if nothing does."""
    if not result.will_retry:
        return ""
    when = f" in {text.duration(result.retry_in)}" if result.retry_in >= 1 else ""
    return f" and will run again{when}"


def _print(line: str) -> None:
    print(text.printable(line), flush=True)


def make_display(spec: SweepSpec, is_plain: bool) -> Display:
    """The display for stdout: redrawn in place on a terminal and in a notebook, unless `is_plain`; otherwise
    one line per event.
    """
    from sweep.console.live import LiveDisplay, NotebookDisplay

    if not is_plain and is_notebook():
        return NotebookDisplay(spec)
    is_dumb = os.environ.get("TERM", "dumb") in ("dumb", "unknown")  # it cannot move the cursor
    return LineDisplay(spec) if is_plain or is_dumb or not sys.stdout.isatty() else LiveDisplay(spec)


def is_notebook() -> bool:
    """Whether output goes to a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None
