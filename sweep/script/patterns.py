"""Regular expressions that find metrics in what a script prints."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from sweep.script.errors import ScriptError
from sweep.script.wandb_offline import Record
from sweep.sweepfile.patterns import STEP_GROUP, VALUE_GROUP, group_of_value
from sweep.trial.scalars import STEPS

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
                if name != STEP_GROUP:
                    values[name] = float(number[0])
                elif 0 <= (step := float(number[0])) < STEPS:
                    self._step = int(step)
        return Record(self._step, values) if values else None


def _found(own: str | None, match: re.Match[str]) -> Iterator[tuple[str, str | None]]:
    groups = match.groupdict()
    if own is None:
        yield from groups.items()
        return
    if STEP_GROUP in groups:
        yield STEP_GROUP, groups[STEP_GROUP]
    yield own, groups[VALUE_GROUP] if VALUE_GROUP in groups else match[group_of_value(match.re)]


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
