"""Regular expressions that find metrics in the output of a script."""

from __future__ import annotations

import math
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from sweep.script.errors import ScriptError
from sweep.script.metric_sources import MetricRecord
from sweep.script.printed_number import READABLE, read_number, whole_number
from sweep.sweepfile.patterns import STEP_GROUP, VALUE_GROUP, group_of_value
from sweep.trial.scalars import STEPS

_LONGEST = 4096
"""Characters of a line that are searched."""
_TIMEOUT = 5.0
"""CPU seconds per line. Some expressions backtrack forever."""
_LONGEST_SHOWN = 80
_NO_STEP = f"is not a step, which is a whole number from 0 to {STEPS - 1}: from here on, lines are counted"
_OWN_SEPARATOR = re.compile(
    r"""\)[?*+]?(?:\\s\*|[ ])*(?:\\?[,'_](?!$|[ $)|A-Za-z]|\\s)|\\?[ekKMGT]|\\\.|\[(?!\W*$))
      | -(?:\\s\*|[ ])*\( | [,'_.](?:\\s\*)?\(""",
    re.VERBOSE,
)
"""A part of a number outside the groups of an expression, which ends or begins numbers there itself.

A comma that ends the expression, or that a space or a letter follows, is not in a number.
"""


class Patterns:
    """Finds metrics in lines by regular expressions.

    A step is valid until another one is found, which can be on a separate line. Only the last state of a
    progress bar counts for each step.

    Args:
        patterns: expressions with named groups, each of which is a metric; or a mapping from the name of a
            metric to its expression.
    """

    def __init__(self, patterns: Sequence[str] | Mapping[str, str]) -> None:
        named = (
            patterns.items() if isinstance(patterns, Mapping) else [(None, pattern) for pattern in patterns]
        )
        self._patterns = [(name, re.compile(pattern)) for name, pattern in named]
        self._step: int | None = None
        self._are_counted = False
        """Whether lines are counted because a step was not a whole number."""
        self.unread: dict[str, str] = {}
        """Why a match is not a number, or not a step, for the first such match of each group."""
        self._held: MetricRecord | None = None
        """The last state of a progress bar, while its step does not change."""

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def read(self, line: str, is_overwritten: bool = False) -> list[MetricRecord]:
        """The metrics that have become final with this line.

        Args:
            line: the line.
            is_overwritten: whether it ends with a carriage return, like the states of a progress bar.

        Raises:
            ScriptError: an expression took too long.
        """
        record = self._read(line)
        if record is None:
            return []
        ready = []
        if self._held is not None and self._held.step == record.step:
            record = MetricRecord(record.step, {**self._held.values, **record.values})
        else:
            ready += self.rest()
        self._held = record if is_overwritten and record.step is not None else None
        return ready if self._held is not None else [*ready, record]

    def rest(self) -> list[MetricRecord]:
        """The remaining metrics after the last line."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def _read(self, line: str) -> MetricRecord | None:
        values: dict[str, float] = {}
        line = line[:_LONGEST]
        for metric, pattern in self._patterns:
            try:
                with _time_limit(_TIMEOUT):
                    match = pattern.search(line)
            except _TimeLimitExceeded:
                raise ScriptError(
                    f"metrics_from.regex: {pattern.pattern!r} takes more than {_TIMEOUT:g} s for the line "
                    f"{line[:80]!r}; avoid repetitions within repetitions such as (a+)+"
                ) from None
            if match is None:
                continue
            for name, text in _named_groups(metric, match):
                number = read_number(text)
                if number is None:
                    self._say_unread(name, text, line, f"is not read as a number: {READABLE}")
                elif name != STEP_GROUP:
                    values[name] = number
                else:
                    self._step = None if self._are_counted else _as_step(number)
                    if self._step is None:
                        self._are_counted = True  # epochs 0.5 and 1.0: otherwise 1 would be there twice
                        self._say_unread(name, text, line, _NO_STEP)
        return MetricRecord(self._step, values) if values else None

    def _say_unread(self, name: str, text: str, line: str, why: str) -> None:
        if name not in self.unread:
            shown = line if len(line) <= _LONGEST_SHOWN else line[:_LONGEST_SHOWN] + "..."
            self.unread[name] = f"{text[:_LONGEST_SHOWN]!r} in the line {shown!r} {why}"
            sys.stderr.write(f"sweep: metrics_from.regex, {name}: {self.unread[name]}\n")


def _as_step(number: float) -> int | None:
    """A number as a step; None if it is not one. 1.001k is 1001, although its float is 1000.9999999999999."""
    if 0 <= number <= STEPS - 1 and math.isclose(number, round(number), rel_tol=1e-12):
        return round(number)
    return None


def _named_groups(metric: str | None, match: re.Match[str]) -> Iterator[tuple[str, str]]:
    """The texts of a match that have to be numbers, by metric."""
    groups = dict(match.re.groupindex)
    if metric is not None:
        value = groups.get(VALUE_GROUP) or group_of_value(match.re)
        groups = {name: group for name, group in groups.items() if name == STEP_GROUP} | {metric: value}
    for name, group in groups.items():
        if match[group] is not None:
            start, end = match.span(group)
            has_own_separator = _OWN_SEPARATOR.search(match.re.pattern)
            yield name, match[group] if has_own_separator else whole_number(match.string, start, end)


class _TimeLimitExceeded(Exception):
    pass


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupt a regular expression after this much CPU time of the process.

    Only the main thread can be interrupted. In other threads there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _TimeLimitExceeded

    handler = signal.signal(signal.SIGVTALRM, interrupt)
    before = signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *before)
        signal.signal(signal.SIGVTALRM, handler)
