"""How long a sweep has run, over all its sessions, and how busy its slots were."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Times of a sweep up to `until`, all in seconds.

    Args:
        elapsed: time the sweep ran; downtime between sessions is not counted.
        busy: the same time summed over the slots that had a trial.
        capacity: the same time summed over all slots.
        until: when this was true, in seconds since the epoch.
    """

    elapsed: float = 0.0
    busy: float = 0.0
    capacity: float = 0.0
    until: float = 0.0

    @property
    def utilisation(self) -> float | None:
        """The part of the slots' time that was spent on trials, 0 to 1; None at the very start."""
        return min(1.0, self.busy / self.capacity) if self.capacity > 0 else None

    def to_attribute(self) -> dict[str, float]:
        return {name: round(value, 3) for name, value in asdict(self).items()}

    @classmethod
    def from_attribute(cls, attribute: dict[str, Any] | None) -> Usage:
        return cls(**attribute) if attribute else cls()


class UsageMeter:
    """Measures one session of a sweep, on top of the sessions before it.

    Args:
        before: the usage at the end of the last session.
        slots: how many this session has.
    """

    def __init__(self, before: Usage, slots: int) -> None:
        self._before = before
        self._slots = slots
        self._began = time.monotonic()
        self._finished_busy = 0.0
        self._running: dict[tuple[int, int], float] = {}

    def start(self, run: tuple[int, int], ago: float = 0.0) -> None:
        """A slot has begun a run (a trial's number, a repeat's index), now or some seconds ago."""
        self._running[run] = time.monotonic() - ago

    def end(self, run: tuple[int, int]) -> float:
        """Its attempt has ended; returns how long it took."""
        now = time.monotonic()
        started = self._running.pop(run, now)
        self._finished_busy += now - max(started, self._began)
        return now - started

    def now(self) -> Usage:
        """The usage of all sessions so far."""
        now = time.monotonic()
        # What was before this session is in its usage already.
        running = sum(now - max(started, self._began) for started in self._running.values())
        busy = self._finished_busy + running
        return Usage(
            elapsed=self._before.elapsed + now - self._began,
            busy=self._before.busy + busy,
            capacity=self._before.capacity + (now - self._began) * self._slots,
            until=time.time(),
        )
