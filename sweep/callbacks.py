"""Callbacks: user code that receives the events of a sweep in the process that called `sweep.run`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.engine.observer import Observer
from sweep.errors import InputError
from sweep.messages import Assignment, AttemptResult, Progress, ReportEvent, TrialStateName
from sweep.system.directory import SweepDirectory

if TYPE_CHECKING:
    from sweep.result import SweepResult

_log = logging.getLogger("sweep")


@dataclass(frozen=True)
class TrialStart:
    """An attempt of a trial has started.

    Args:
        number: the trial's number.
        attempt: the number of the attempt, from 1.
        params: the trial's parameters; with define-by-run, those known so far.
        directory: the trial's directory.
        repeat: the index of the repeat, from 0.
    """

    number: int
    attempt: int
    params: Mapping[str, Any]
    directory: Path
    repeat: int


@dataclass(frozen=True)
class TrialReport:
    """A trial has reported a value.

    Args:
        number: the trial's number.
        step: the step that was reported with the value.
        value: the metric's value.
        repeat: the index of the repeat, from 0.
        attempt: the number of the attempt, from 1.
    """

    number: int
    step: int
    value: float
    repeat: int
    attempt: int


@dataclass(frozen=True)
class TrialEnd:
    """A trial has finished.

    Args:
        number: the trial's number.
        state: the trial's state in Optuna.
        value: the metric's value; for a pruned trial the last reported one.
        params: the trial's parameters.
        directory: the trial's directory.
        reason: why the trial failed; empty otherwise.
        duration_s: the duration of its last attempt, in seconds.
        is_best: whether it is better than all trials before it.
    """

    number: int
    state: TrialStateName
    value: float | None
    params: Mapping[str, Any]
    directory: Path
    reason: str
    duration_s: float
    is_best: bool


class Callback:
    """Receives the events of a sweep in the process that called `sweep.run`. Override the methods you need.

    An exception raised by a callback is logged, once per method and type, and does not stop the sweep.
    Callbacks are called one after another and block the sweep's supervisor, so they should be quick.
    """

    def on_trial_start(self, trial: TrialStart) -> None:
        """An attempt was assigned to a worker."""

    def on_report(self, report: TrialReport) -> None:
        """A trial reported a value. Called within about half a second, in the order of the reports.

        Called once for each step of an attempt. The next attempt repeats the steps after its checkpoint.
        """

    def on_trial_end(self, trial: TrialEnd) -> None:
        """A trial finished, and its outcome is stored on disk."""

    def on_sweep_end(self, result: SweepResult) -> None:
        """The sweep is finished or was interrupted. No trial is running."""


_METHODS = ("on_trial_start", "on_report", "on_trial_end", "on_sweep_end")


class Callbacks(Observer):
    """An observer that calls callbacks, and forwards each event to another observer.

    Args:
        callbacks: objects with some of the methods of `Callback`.
        directory: the sweep's directory.
        observer: the other observer, which is called first; None if nothing is shown. Then notes are logged.

    Raises:
        InputError: the callbacks are not a list, or one of them is a class or has none of the methods.
    """

    def __init__(
        self, callbacks: Sequence[Any], directory: SweepDirectory, observer: Observer | None
    ) -> None:
        if not isinstance(callbacks, (list, tuple)):
            raise InputError(f"sweep.run: callbacks: expected a list, got {callbacks!r}; put it in [ ]")
        for callback in callbacks:
            if isinstance(callback, type):
                name = callback.__name__
                raise InputError(f"sweep.run: callbacks: {name} is a class; instantiate it: [{name}()]")
            if not any(callable(getattr(callback, method, None)) for method in _METHODS):
                raise InputError(
                    f"sweep.run: callbacks: {callback!r} is not a callback; make it a sweep.Callback with "
                    f"{', '.join(_METHODS[:-1])} or {_METHODS[-1]}"
                )
        self._callbacks = callbacks
        self._directory = directory
        self._observer = observer or Observer()
        self._logs_notes = observer is None
        self._logged: set[tuple[int, str, type[Exception]]] = set()
        self.wants_reports = self._has("on_report") or self._observer.wants_reports
        self.wants_frequent_progress = self._has("on_report") or self._observer.wants_frequent_progress

    def on_startup(self, activity: str) -> None:
        self._observer.on_startup(activity)

    def on_note(self, text: str) -> None:
        self._observer.on_note(text)
        if self._logs_notes:
            _log.warning("%s", text)

    def on_ready(self, slots: int, progress: Progress) -> None:
        self._observer.on_ready(slots, progress)

    def on_progress(self, progress: Progress) -> None:
        self._observer.on_progress(progress)

    def on_attempt_start(self, assignment: Assignment) -> None:
        self._observer.on_attempt_start(assignment)
        number, directory = assignment.number, self._directory.trial(assignment.number).root
        start = TrialStart(number, assignment.attempt, assignment.params, directory, assignment.repeat)
        self._call("on_trial_start", start)

    def on_reports(self, report_events: Iterable[ReportEvent]) -> None:
        report_events = list(report_events)  # it is iterated twice
        self._observer.on_reports(report_events)
        for event in report_events:
            step, value = event.report.step, event.report.value
            self._call("on_report", TrialReport(event.number, step, value, event.repeat, event.attempt))

    def on_attempt_end(self, result: AttemptResult) -> None:
        self._observer.on_attempt_end(result)
        if result.state is not None:
            end = TrialEnd(
                number=result.number,
                state=result.state,
                value=result.value,
                params=result.params,
                directory=self._directory.trial(result.number).root,
                reason=result.reason,
                duration_s=result.duration_s,
                is_best=result.is_best,
            )
            self._call("on_trial_end", end)

    def finish(self, result: SweepResult) -> None:
        """Call `on_sweep_end`."""
        self._call("on_sweep_end", result)

    def _has(self, method: str) -> bool:
        """Whether a callback implements a method, instead of inheriting that of `Callback`."""
        functions = [getattr(callback, method, None) for callback in self._callbacks]
        inherited = getattr(Callback, method)
        # Of the object, not of its class: a method can be set on the object.
        return any(
            callable(function) and getattr(function, "__func__", None) is not inherited
            for function in functions
        )

    def _call(self, method: str, argument: Any) -> None:
        for index, callback in enumerate(self._callbacks):
            function = getattr(callback, method, None)
            if function is None:
                continue
            try:
                function(argument)
            except Exception as error:  # noqa: BLE001 - user code can raise anything
                kind = index, method, type(error)
                if kind not in self._logged:
                    self._logged.add(kind)
                    message = f"{type(callback).__name__}.{method} raised {type(error).__name__}: {error}"
                    if method != "on_sweep_end":
                        message += "; the sweep continues"
                    self._observer.on_note(message)
                    _log.warning("%s", message, exc_info=True)
