"""Observers: receive the events of a running sweep, for a display or for callbacks."""

from __future__ import annotations

from collections.abc import Iterable

from sweep.messages import Assignment, AttemptResult, Progress, ReportEvent


class Observer:
    """Receives the events of a running sweep. The base class ignores them."""

    wants_frequent_progress = False
    """Whether `on_progress` should be called a few times a second."""
    wants_reports = False
    """Whether `on_reports` should be called."""

    def on_startup(self, activity: str) -> None:
        """Something that takes seconds begins, such as `starting Ray`."""

    def on_note(self, text: str) -> None:
        """A message for the user, given once."""

    def on_ready(self, slots: int, progress: Progress) -> None:
        """Trials can start now, `slots` at a time."""

    def on_attempt_start(self, assignment: Assignment) -> None:
        """An attempt has been assigned to a worker."""

    def on_reports(self, report_events: Iterable[ReportEvent]) -> None:
        """Trials have reported values. The reports of a trial come before its end."""

    def on_attempt_end(self, result: AttemptResult) -> None:
        """An attempt has finished, and its result is recorded."""

    def on_result(self, result: AttemptResult) -> None:
        """The notes of a result, then `on_attempt_end`."""
        for note in result.notes:
            self.on_note(note)
        self.on_attempt_end(result)

    def on_progress(self, progress: Progress) -> None:
        """The current state of the sweep: every few seconds, or more often if `wants_frequent_progress`."""
