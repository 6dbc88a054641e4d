"""The sources of a script's metrics, and which of them counts for each metric."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Container, Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from sweep.errors import nearest
from sweep.trial.scalars import STEPS

_MOST_NAMES = 20
"""How many names a message lists."""


class MetricRecord(NamedTuple):
    """Numbers that a script has reported together. `step` is None if it reported none."""

    step: int | None
    values: dict[str, float]


class MetricSource(IntEnum):
    """A source of metrics. If two sources have the same metric, the lower one takes precedence."""

    REPORT = 0
    """`sweep.report`."""
    REGEX = 1
    """The sweep file's regular expressions."""
    JSON = 2
    """JSON lines."""
    WANDB = 3
    """W&B's package."""
    EVENTS = 4
    """TensorBoard's event files."""

    def __str__(self) -> str:
        return _NAMES[self]


_NAMES = {
    MetricSource.REPORT: "sweep.report",
    MetricSource.REGEX: "metrics_from",
    MetricSource.JSON: "JSON lines",
    MetricSource.WANDB: "W&B's run",
    MetricSource.EVENTS: "event files",
}
_LINES_DELAY = 0.2
_FILES_DELAY = 2.0
"""W&B's package and the writers of event files write to disk every second."""
_DELAYS = {
    MetricSource.REPORT: 0.0,
    MetricSource.REGEX: _LINES_DELAY,
    MetricSource.JSON: _LINES_DELAY,
    MetricSource.WANDB: _FILES_DELAY,
    MetricSource.EVENTS: _FILES_DELAY,
}
"""Seconds after which a new metric is logged, so that sources that take precedence can give it too."""


class Selected(NamedTuple):
    """The part of a record that counts.

    Args:
        step: its step.
        curve: the metrics whose curves come from its source.
        values: the metrics for whose last value its source counts.
    """

    step: int
    curve: dict[str, float]
    values: dict[str, float]


class MetricSources:
    """Determines the source of each metric, and gives each of its values a step.

    The curve of a metric has one source for the whole trial, because two sources can count steps differently.
    A new metric is held for a short time. Then its curve belongs to the source that takes precedence among
    those that have given it. If one that takes precedence gives it later (a script calls `sweep.report` once
    at its end), the trial's value comes from that one, but the curve stays as it is.

    Args:
        reserved: names of the sweep's own metrics, which a script cannot report.

    Attributes:
        invalid_steps: the steps of last values that are out of range, by metric.
    """

    def __init__(self, reserved: Container[str] = ()) -> None:
        self.invalid_steps: dict[str, int] = {}
        self._reserved = reserved
        self._sources: dict[str, MetricSource] = {}
        """The source that takes precedence among those that have given a metric so far."""
        self._curves: dict[str, MetricSource] = {}
        """The source of each curve that has begun."""
        self._next_steps: dict[MetricSource, dict[str, int]] = {source: {} for source in MetricSource}
        """The step after the highest one of each metric."""
        self._held: dict[MetricSource, deque[tuple[float, MetricRecord, Any]]]
        self._held = {source: deque() for source in MetricSource}

    @property
    def names(self) -> list[str]:
        """All metrics that have been reported, in the order of their first values."""
        return list(self._sources)

    def add(self, source: MetricSource, record: MetricRecord, now: float, event: Any = None) -> None:
        """Add what a source has given. `due` returns it later.

        Args:
            source: the source.
            record: the record.
            now: the time in seconds.
            event: the TensorBoard event that has these numbers.
        """
        delay = 0.0
        for name in record.values:
            if name in self._reserved:
                continue
            before = self._sources.setdefault(name, source)
            self._sources[name] = min(before, source)
            if name not in self._curves:
                delay = _DELAYS[source]
            elif source < before:
                sys.stderr.write(
                    f"sweep: {name!r} came from {self._curves[name]}, and now {source} gives it: its curve "
                    f"is that of {self._curves[name]}, its last value that of {source}\n"
                )
        self._held[source].append((now + delay, record, event))

    def due(self, source: MetricSource, now: float) -> Iterator[tuple[MetricRecord, Any]]:
        """The records that are no longer held, with their events, in the order in which they were added.

        Args:
            source: its source.
            now: the time in seconds.
        """
        held = self._held[source]
        while held and held[0][0] <= now:
            _, record, event = held.popleft()
            yield record, event

    def counts(self, source: MetricSource, name: str) -> bool:
        """Whether a trial's value of a metric would come from a source, given the sources so far."""
        return source <= self._sources.get(name, source)

    def select(self, source: MetricSource, record: MetricRecord) -> list[Selected]:
        """The parts of a record for which its source counts.

        Without a step, the values of each metric are numbered: those of a metric that is reported for each
        batch do not change the steps of one that is reported for each epoch.
        """
        parts: dict[int, dict[str, float]] = {}
        for name, value in record.values.items():
            step = self._next_step(source, name) if record.step is None else int(record.step)
            parts.setdefault(step, {})[name] = value
        selected = [self._select(source, step, values) for step, values in parts.items()]
        return [part for part in selected if part is not None]

    def _next_step(self, source: MetricSource, name: str) -> int:
        steps = self._next_steps[source]
        if source is MetricSource.WANDB:  # a value of the summary, which describes the whole run
            return max(steps.values(), default=0)
        return steps.get(name, 0)

    def _select(self, source: MetricSource, step: int, values: dict[str, float]) -> Selected | None:
        for name in values:
            if not self.counts(source, name):
                continue
            if 0 <= step < STEPS:
                self.invalid_steps.pop(name, None)
            else:
                self.invalid_steps[name] = step
        if not 0 <= step < STEPS:
            return None
        next_steps = self._next_steps[source]
        next_steps.update({name: max(next_steps.get(name, 0), step + 1) for name in values})
        values = {name: value for name, value in values.items() if name not in self._reserved}
        curve = {
            name: value
            for name, value in values.items()
            if self._curves.setdefault(name, self._sources[name]) == source
        }
        last = {name: value for name, value in values.items() if self._sources[name] == source}
        return Selected(step, curve, last) if curve or last else None


def explain_invalid_step(metric: str, step: int) -> str:
    """Create the message about a metric whose last value has a step that is out of range."""
    return (
        f"the last value of {metric!r} was reported at step {step}, but steps are whole numbers from 0 "
        f"to {STEPS - 1}"
    )


def explain_missing_metric(
    metric: str,
    names: list[str],
    has_patterns: bool = False,
    invalid_steps: Mapping[str, int] | None = None,
    unread: str | None = None,
    ignored: Mapping[str, int] | None = None,
    unread_match: str | None = None,
    refused: str = "",
) -> str:
    """Create the message about a script that has not reported the sweep's metric.

    Args:
        metric: the metric's name.
        names: the metrics that the script did report.
        has_patterns: whether the sweep file has regular expressions for its output.
        invalid_steps: the steps of last values that are out of range, by metric.
        unread: a printed line that may have been meant as a report, and what is wrong with it.
        ignored: metrics that were logged only to W&B runs that do not count, and how many of them have each.
        unread_match: the first match of the metric's regular expression that is not a number.
        refused: what W&B has refused to log.
    """
    if invalid_steps and metric in invalid_steps:
        return explain_invalid_step(metric, invalid_steps[metric])
    text = f"the script never reported {metric!r}; "
    if ignored and metric in ignored:
        runs = "a W&B run" if ignored[metric] == 1 else f"{ignored[metric]} W&B runs"
        return text + (
            f"it was logged to {runs} without the trial's id: log it to the run that wandb.init() begins "
            "without an id, while WANDB_RUN_ID is set, or call sweep.report"
        )
    if unread_match is not None:
        return text + unread_match
    if refused:
        return text + refused
    if not names and has_patterns:
        return text + "no line of its output matches an expression of metrics_from (output.log has the lines)"
    if not names:
        problem = f"{unread}; " if unread else ""
        return text + (
            f'it reported nothing: {problem}have it print lines such as {{"step": 1, "{metric}": 0.5}}, '
            f"or read what it prints with metrics_from{_example(metric)}"
        )
    near = nearest(metric, names)
    if near is not None:
        return text + f"it reported {_quoted(near)}: did you mean it?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return text + f"it reported {', '.join(map(_quoted, names[:_MOST_NAMES]))}{more}"


def _quoted(name: str) -> str:
    """A name, in quotes if it is empty or has white space at an end."""
    return name if name == name.strip() and name else repr(name)


def _example(metric: str) -> str:
    """How an expression for a metric looks, if its name can be that of a group."""
    return f": {{regex: '{metric}=(?P<{metric}>\\S+)'}}" if metric.isidentifier() else ""
