"""Regular expressions that find metrics in what a script prints."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from sweep.objective.result import ScriptError
from sweep.script.wandb_offline import Record
from sweep.trial.scalars import STEPS

_STEP, _VALUE = "step", "value"
_LONGEST = 4096
"""Characters of a line that regular expressions see."""
_PATIENCE = 5.0
"""Seconds that they may take for a line: some take for ever."""
_NUMBER = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan\b|inf(?:inity)?\b)", re.IGNORECASE)


class Patterns:
    """The regular expressions that find metrics in lines.

    A step stands until there is another one: it may be on a line of its own. Of the states of a progress bar
    the last one of each step counts.

    Args:
        patterns: each finds what its groups are named after; or, in a mapping, each the metric of its name.
    """

    def __init__(self, patterns: Sequence[str] | Mapping[str, str]) -> None:
        named = patterns.items() if isinstance(patterns, Mapping) else [(None, one) for one in patterns]
        self._patterns = [(name, re.compile(pattern)) for name, pattern in named]
        self._step: int | None = None
        self._held: Record | None = None
        """What a progress bar shows, while its step lasts."""

    def __bool__(self) -> bool:
        return bool(self._patterns)

    @property
    def names(self) -> list[str]:
        """The metrics that they can find."""
        return list(dict.fromkeys(name for own, one in self._patterns for name in _names(own, one)))

    def read(self, line: str, is_passing: bool = False) -> list[Record]:
        """The metrics that are known for good with this line.

        Args:
            line: the line.
            is_passing: whether another one was to be printed over it.

        Raises:
            ScriptError: it took too long.
        """
        record = self._read(line)
        if record is None:
            return []
        ready = []
        if self._held is not None and self._held.step == record.step:
            record = Record(record.step, {**self._held.values, **record.values})
        else:
            ready += self.rest()
        self._held = record if is_passing and record.step is not None else None
        return ready if self._held is not None else [*ready, record]

    def rest(self) -> list[Record]:
        """What is left when there are no more lines."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def _read(self, line: str) -> Record | None:
        values: dict[str, float] = {}
        line = line[:_LONGEST]
        for own, pattern in self._patterns:
            try:
                with _at_most(_PATIENCE):
                    match = pattern.search(line)
            except _TookTooLong:
                raise ScriptError(
                    f"metrics_from.regex: {pattern.pattern!r} takes more than {_PATIENCE:g} s for the line "
                    f"{line[:80]!r}; avoid repetitions within repetitions such as (a+)+"
                ) from None
            if match is None:
                continue
            for name, text in _found(own, match):
                number = _NUMBER.match(text.strip()) if text else None
                if number is None:
                    continue
                if name != _STEP:
                    values[name] = float(number[0])
                elif 0 <= (step := float(number[0])) < STEPS:
                    self._step = int(step)
        return Record(self._step, values) if values else None


def _names(own: str | None, pattern: re.Pattern[str]) -> list[str]:
    return [own] if own is not None else [name for name in pattern.groupindex if name != _STEP]


def _found(own: str | None, match: re.Match[str]) -> Iterator[tuple[str, str | None]]:
    groups = match.groupdict()
    if own is None:
        yield from groups.items()
        return
    if _STEP in groups:
        yield _STEP, groups[_STEP]
    yield own, groups[_VALUE] if _VALUE in groups else match[_group_of_value(match.re)]


def _group_of_value(pattern: re.Pattern[str]) -> int:
    """The first group that is not the step."""
    step = pattern.groupindex.get(_STEP)
    return next(number for number in range(1, pattern.groups + 1) if number != step)


def why_wrong(pattern: str, is_for_one: bool) -> str | None:
    """What is wrong with a pattern, in words for people.

    Args:
        pattern: the regular expression.
        is_for_one: whether the metric's name stands beside it.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        place = (
            f" at character {error.pos + 1}" if isinstance(error, re.error) and error.pos is not None else ""
        )
        what = error.msg if isinstance(error, re.error) else str(error)
        return f"{pattern!r} is no regular expression: {what}{place}"
    if is_for_one:
        if compiled.groups - (_STEP in compiled.groupindex) < 1:
            return rf"{pattern!r} has no group for the value; write for example 'loss=(\S+)'"
        return None
    if not compiled.groupindex:
        return (
            f"{pattern!r} has no named group; name groups after metrics, and the step 'step', for example "
            r"'epoch (?P<step>\d+).*loss=(?P<loss>\S+)'"
        )
    return None


class _TookTooLong(Exception):
    pass


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Interrupt a regular expression after as much of this process's time, however busy the machine is.

    Only the main thread can be interrupted; elsewhere nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _TookTooLong

    handler = signal.signal(signal.SIGVTALRM, ring)
    before = signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *before)
        signal.signal(signal.SIGVTALRM, handler)
