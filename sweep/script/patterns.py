"""Regular expressions that find metrics in the output of a script."""

from __future__ import annotations

import math
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType

from sweep.script.errors import ScriptError
from sweep.script.metric_sources import MetricRecord
from sweep.script.printed_number import READABLE, SEPARATORS, read_number, whole_number
from sweep.sweepfile.patterns import STEP_GROUP, VALUE_GROUP, group_of_value
from sweep.trial.scalars import STEPS

_LONGEST = 4096
"""Characters of a line that are searched."""
_TIMEOUT = 5.0
"""CPU seconds per line. Some expressions backtrack forever."""
_LONGEST_SHOWN = 80
_NO_STEP = f"is not a step, which is a whole number from 0 to {STEPS - 1}: from here on, lines are counted"
_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\\\]])*\]|\((?:\?(?:P<\w+>)?)?|\)|.", re.DOTALL)
"""A part of an expression: an escaped character, a class of characters, a parenthesis, or a character."""
_CLASS = r"(?<!\\)\[(?!\^)\]?(?:\\.|[^\\\]])+\]"
_ANY = r"(?:\.|\\[DW]|\[\^(?:\\.|[^\\\]])+\])"
"""What matches a separator without naming it."""
_SPACE = r"(?:(?:\\s|[ ])[*?])*"
_REPEATED = r"(?:[?*+]|\{[\d,]+\})*"
_OPENED = r"(?:\((?:\?(?::|P<\w+>))?)*"
_CLOSED = rf"(?:\){_REPEATED})*"
_AFTER = re.compile(
    rf"""{_REPEATED}{_CLOSED}{_SPACE}{_OPENED}
    (?P<own> [eEkKMGT] | \\\. | \[\w+\]
           | (?: \\?[{SEPARATORS}] | {_CLASS} ) (?! \+?{_SPACE}{_CLOSED}(?:[|$]|\Z) )
           | {_ANY}(?=\+?\() )
    (?![?*])""",
    re.VERBOSE,
)
"""What can end a number after a group. A separator that ends the expression, or can be missing, does not."""
_BEFORE = re.compile(
    rf"""(?P<own> \\?[-{SEPARATORS}] | {_CLASS} | (?<=\)){_ANY} )
    \+?{_CLOSED}{_SPACE}{_OPENED}\Z""",
    re.VERBOSE,
)
"""What can begin a number before a group."""


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
            line: the line, with its white space.
            is_overwritten: whether it ends with a carriage return, like the states of a progress bar.

        Raises:
            ScriptError: an expression took too long.
        """
        record = self._read(line)
        ready = [] if self._held is None or self._held.step == self._step else self.rest()
        if record is None:
            return ready
        held = {} if self._held is None else self._held.values
        if is_overwritten and record.step is not None:
            self._held = MetricRecord(record.step, {**held, **record.values})
            return ready
        # A line that was printed while the bar runs: the bar's other metrics still change.
        held = {name: value for name, value in held.items() if name not in record.values}
        self._held = MetricRecord(record.step, held) if held else None
        return [*ready, record]

    def rest(self) -> list[MetricRecord]:
        """The remaining metrics after the last line."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def _read(self, line: str) -> MetricRecord | None:
        values: dict[str, float] = {}
        line = line[:_LONGEST]
        bare = line.strip()  # so that ^ and $ match lines that are indented or padded, too
        for metric, pattern in self._patterns:
            try:
                with _time_limit(_TIMEOUT):
                    match = pattern.search(line) or (None if bare == line else pattern.search(bare))
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
            yield name, _number_of(match, group)


def _number_of(match: re.Match[str], group: int) -> str:
    """The text of the number of which a group has matched a part.

    It does not go beyond what the expression itself requires directly before or after the group.
    """
    line, (start, end) = match.string, match.span(group)
    before, after = _neighbours(match.re, group)
    last = line[max(0, start - 1) : start]
    is_begun = before is not None and before.fullmatch(last) is not None
    if last == "-" and before is not None and not before.pattern.endswith("-"):
        is_begun = False  # a sign, unless the expression names exactly it
    is_column = is_begun and last == "," == line[end : end + 1]
    is_ended = is_column or (after is not None and after.match(line, end) is not None)
    return whole_number(line, start, end, is_begun, is_ended)


@lru_cache(maxsize=1000)
def _neighbours(
    pattern: re.Pattern[str], group: int
) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None]:
    """The parts of an expression directly before and after a group, if they can begin and end a number."""
    start, end = _span(pattern.pattern, group)
    found = _BEFORE.search(pattern.pattern[:start]), _AFTER.match(pattern.pattern, end)
    before, after = (match and re.compile(match["own"], pattern.flags & re.IGNORECASE) for match in found)
    return before, after


def _span(pattern: str, group: int) -> tuple[int, int]:
    """Where a group of an expression begins and ends."""
    groups = 0
    opened: list[tuple[bool, int]] = []
    for part in _PART.finditer(pattern):
        if part[0].startswith("("):
            is_group = part[0] != "(?"
            groups += is_group
            opened.append((is_group and groups == group, part.start()))
        elif part[0] == ")" and opened:
            is_found, start = opened.pop()
            if is_found:
                return start, part.end()
    return 0, len(pattern)


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
