"""Callbacks: code of the caller's that is told, in its own process, what happens in a sweep."""

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
    """An attempt of a trial that begins.

    Args:
        number: the trial's.
        attempt: which execution of the trial it is, from 1.
        params: the trial's parameters; with define-by-run, those that are known.
        directory: the trial's own.
        repeat: which of the trial's repeats it is, from 0.
    """

    number: int
    attempt: int
    params: Mapping[str, Any]
    directory: Path
    repeat: int


@dataclass(frozen=True)
class TrialReport:
    """A value that a trial has reported.

    Args:
        number: the trial's.
        step: at which.
        value: of the metric.
        repeat: which of the trial's repeats it is, from 0.
        attempt: which execution of the trial it is, from 1.
    """

    number: int
    step: int
    value: float
    repeat: int
    attempt: int


@dataclass(frozen=True)
class TrialEnd:
    """The final outcome of a trial.

    Args:
        number: the trial's.
        state: Optuna's.
        value: of the metric; of a pruned trial, the last reported one.
        params: the trial's parameters.
        directory: the trial's own.
        reason: why it failed.
        duration_s: of its last attempt, in seconds.
        is_best: whether no trial before it was as good.
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
    """Is told what happens in a sweep, in the process that called `sweep.run`. Override what you need.

    What a callback raises is logged, once for each kind, and the sweep goes on. Callbacks are called one
    after another while the sweep's supervisor waits for them, so they should be quick.
    """

    def on_trial_start(self, trial: TrialStart) -> None:
        """An attempt has been given to a worker."""

    def on_report(self, report: TrialReport) -> None:
        """A trial has reported a value; told within about half a second, in the order of reporting.

        Each step of an attempt is told once; the next attempt reports again what comes after its checkpoint.
        """

    def on_trial_end(self, trial: TrialEnd) -> None:
        """A trial has its final outcome, and that is safe on the disk."""

    def on_sweep_end(self, result: SweepResult) -> None:
        """Nothing runs any more: the sweep is finished, or was interrupted."""


_METHODS = ("on_trial_start", "on_report", "on_trial_end", "on_sweep_end")


class Callbacks(Observer):
    """Calls callbacks, and hands everything on to another observer.

    Args:
        callbacks: objects with some of the methods of `Callback`.
        directory: the sweep's.
        shows: the other observer.

    Raises:
        InputError: they are no list, or a callback has none of the methods, or is a class.
    """

    def __init__(self, callbacks: Sequence[Any], directory: SweepDirectory, shows: Observer) -> None:
        if not isinstance(callbacks, (list, tuple)):
            raise InputError(f"sweep.run: callbacks: expected a list, got {callbacks!r}; put it in [ ]")
        for callback in callbacks:
            if isinstance(callback, type):
                name = callback.__name__
                raise InputError(f"sweep.run: callbacks: {name} is a class; make one of it: [{name}()]")
            if not any(callable(getattr(callback, method, None)) for method in _METHODS):
                raise InputError(
                    f"sweep.run: {callback!r} is no callback; make it a sweep.Callback with "
                    f"{', '.join(_METHODS[:-1])} or {_METHODS[-1]}"
                )
        self._callbacks = callbacks
        self._directory = directory
        self._shows = shows
        self._reported: set[tuple[int, str, type[Exception]]] = set()
        self.wants_reports = self._has("on_report") or shows.wants_reports
        self.wants_frequent_progress = self._has("on_report") or shows.wants_frequent_progress

    def on_startup(self, what: str) -> None:
        self._shows.on_startup(what)

    def on_note(self, text: str) -> None:
        self._shows.on_note(text)

    def on_ready(self, slots: int, progress: Progress) -> None:
        self._shows.on_ready(slots, progress)

    def on_progress(self, progress: Progress) -> None:
        self._shows.on_progress(progress)

    def on_attempt_start(self, assignment: Assignment) -> None:
        self._shows.on_attempt_start(assignment)
        self._call(
            "on_trial_start",
            TrialStart(
                assignment.number,
                assignment.attempt,
                assignment.params,
                self._directory.trial(assignment.number).root,
                assignment.repeat,
            ),
        )

    def on_reports(self, report_events: Iterable[ReportEvent]) -> None:
        report_events = list(report_events)  # it is gone through twice
        self._shows.on_reports(report_events)
        for one in report_events:
            report = TrialReport(one.number, one.report.step, one.report.value, one.repeat, one.attempt)
            self._call("on_report", report)

    def on_attempt_end(self, result: AttemptResult) -> None:
        self._shows.on_attempt_end(result)
        if result.state is not None:
            self._call(
                "on_trial_end",
                TrialEnd(
                    result.number,
                    result.state,
                    result.value,
                    result.params,
                    self._directory.trial(result.number).root,
                    result.reason,
                    result.duration_s,
                    result.is_best,
                ),
            )

    def over(self, result: SweepResult) -> None:
        """Nothing runs any more."""
        self._call("on_sweep_end", result)

    def _has(self, method: str) -> bool:
        return any(
            getattr(type(callback), method, None) is not getattr(Callback, method)
            and callable(getattr(callback, method, None))
            for callback in self._callbacks
        )

    def _call(self, method: str, argument: Any) -> None:
        for index, callback in enumerate(self._callbacks):
            function = getattr(callback, method, None)
            if function is None:
                continue
            try:
                function(argument)
            except Exception as error:  # noqa: BLE001 - the caller's code may raise anything
                kind = index, method, type(error)
                if kind not in self._reported:
                    self._reported.add(kind)
                    what = f"{type(callback).__name__}.{method} raised {type(error).__name__}: {error}"
                    if method != "on_sweep_end":
                        what += "; the sweep goes on"
                    self._shows.on_note(what)
                    _log.warning("%s", what, exc_info=True)
