"""`timeline`: when each attempt of a sweep ran, and on which slot."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from sweep.analysis.view import SweepView
from sweep.controller.runs import attempts, attribute
from sweep.study import attributes

_TOLERANCE = 0.002
"""Times are stored in milliseconds, so an attempt can seem to start before the one before it has ended."""


@dataclass(frozen=True)
class Span:
    """The time in which one attempt ran.

    Args:
        number: the trial's number.
        label: the name of the repeat; empty without repeats.
        lane: the slot, from 0. Attempts that ran at the same time are on different lanes. Which of the slots
            it was is not stored, so it is the first that was free.
        start: when it started, in seconds since the epoch.
        end: when it ended; now, if it is running.
        state: that of the trial: COMPLETE, PRUNED, FAIL, RUNNING, or WAITING if the sweep was interrupted; or
            RETRIED: another attempt of the trial followed this one.
    """

    number: int
    label: str
    lane: int
    start: float
    end: float
    state: str

    @property
    def seconds(self) -> float:
        """How long the attempt took."""
        return self.end - self.start


def timeline(view: SweepView) -> list[Span]:
    """When each attempt of a sweep ran, in the order of their starts.

    Earlier attempts of a trial are included if their times are stored, which earlier versions did not do. The
    end of an attempt that was lost with the process of the sweep is not known, so it is not included.
    """
    now = time.time() if view.is_running else view.usage.until
    spans = [span for trial in view.frozen_trials for span in _spans(view, trial, now)]
    spans.sort(key=lambda span: (span.start, span.number, span.label))
    return _with_lanes(spans)


def _spans(view: SweepView, trial: FrozenTrial, now: float) -> Iterator[Span]:
    """The attempts of one trial, all on lane 0."""
    if trial.datetime_start is None:
        return
    has_repeats, attrs, state = view.spec.repeats is not None, trial.user_attrs, view.state_of(trial)
    created = view.aware(trial.datetime_start).timestamp()
    end = now if trial.datetime_complete is None else view.aware(trial.datetime_complete).timestamp()
    if any(attribute(label, attributes.TIMES) in attrs for label in view.spec.run_labels):
        for label in view.spec.run_labels:
            yield from _recorded(trial, label, state, now)
    elif has_repeats:
        yield from _unrecorded_repeats(view, trial, created, end)
    elif trial.state.is_finished():
        duration = attrs.get(attributes.DURATION, end - created)
        yield Span(trial.number, "", 0, end - max(0.0, min(duration, end - created)), end, state)
    elif attempts(attrs, "") == 1 and attributes.ENDED not in attrs:
        yield Span(trial.number, "", 0, created, max(created, end), state)


def _recorded(trial: FrozenTrial, label: str, state: str, now: float) -> Iterator[Span]:
    """The attempts of a run whose times are stored."""
    attrs, last = trial.user_attrs, attribute(label, attributes.DURATION)
    *earlier, (start, end) = attrs.get(attribute(label, attributes.TIMES)) or [(now, now)]
    for began, ended in earlier:
        if ended is not None:
            yield Span(trial.number, label, 0, began, max(began, ended), "RETRIED")
    if end is not None:
        if end > start:
            yield Span(trial.number, label, 0, start, end, "RETRIED")
    elif last in attrs:
        if not trial.state.is_finished():  # other repeats of the trial have not ended
            state = attrs.get(attributes.DECISION, {}).get("state", "COMPLETE")
        yield Span(trial.number, label, 0, start, start + attrs[last], state)
    elif attrs.get(attribute(label, attributes.ENDED)) != attempts(attrs, label):
        yield Span(trial.number, label, 0, start, max(start, now), state)


def _unrecorded_repeats(view: SweepView, trial: FrozenTrial, created: float, until: float) -> Iterator[Span]:
    """The repeats of a trial of an earlier version, which stored only how long they took.

    They are shown one after another if there was the time for it, and otherwise as ended together.
    """
    durations = {
        label: trial.user_attrs[name]
        for label in view.spec.run_labels
        if (name := attribute(label, attributes.DURATION)) in trial.user_attrs
    }
    follow_one_another = sum(durations.values()) <= until - created + 1
    start = created
    for label, duration in durations.items():
        if not follow_one_another:
            start = max(created, until - duration)
        yield Span(trial.number, label, 0, start, start + duration, view.state_of(trial))
        start += duration


def _with_lanes(spans: list[Span]) -> list[Span]:
    """The spans, which are ordered by their starts, each on the first lane that is free."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    placed = []
    for span in spans:
        while busy and busy[0][0] <= span.start + _TOLERANCE:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (span.end, lane))
        placed.append(Span(span.number, span.label, lane, span.start, span.end, span.state))
    return placed
