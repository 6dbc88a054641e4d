"""Measures how long a sweep has run, over all its sessions, and how busy its slots were."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import optuna

from sweep.study.attributes import USAGE

_SAVE_EVERY = 2.0  # seconds


@dataclass(frozen=True)
class Usage:
    """Times of a sweep up to `until`, all in seconds.

    Args:
        elapsed: how long the sweep ran; downtime between sessions is not counted.
        busy: the time its slots spent on trials, summed over the slots.
        capacity: `elapsed`, summed over the slots.
        until: the time of this measurement, in seconds since the epoch.
    """

    elapsed: float = 0.0
    busy: float = 0.0
    capacity: float = 0.0
    until: float = 0.0

    @property
    def utilisation(self) -> float | None:
        """The share of the slots' time that was spent on trials, 0 to 1; None at the very start."""
        return min(1.0, self.busy / self.capacity) if self.capacity > 0 else None

    @classmethod
    def from_attribute(cls, attribute: dict[str, Any] | None) -> Usage:
        """The usage that is stored in a study; zero if none is stored."""
        return cls(**attribute) if attribute else cls()


class UsageMeter:
    """Measures the usage of a session, and adds it to that of earlier sessions, which is in the study.

    Args:
        study: stores the usage.
        slots: the number of slots of this session.
    """

    def __init__(self, study: optuna.Study, slots: int) -> None:
        self._study = study
        self._slots = slots
        self._before = Usage.from_attribute(study.user_attrs.get(USAGE))
        self._began = time.monotonic()
        self._finished_busy = 0.0
        self._running: dict[tuple[int, int], float] = {}
        self.save()

    def start(self, run: tuple[int, int], ago: float = 0.0) -> None:
        """Record that an attempt of a run (trial number, repeat) started `ago` seconds ago."""
        self._running[run] = time.monotonic() - ago

    def end(self, run: tuple[int, int]) -> float:
        """Record that the attempt has ended; returns its duration in seconds."""
        now = time.monotonic()
        started = self._running.pop(run, now)
        self._finished_busy += now - max(started, self._began)
        return now - started

    def now(self) -> Usage:
        """The usage of all sessions so far."""
        now = time.monotonic()
        # Time before this session is part of the usage of earlier sessions.
        running = sum(now - max(started, self._began) for started in self._running.values())
        busy = self._finished_busy + running
        return Usage(
            elapsed=self._before.elapsed + now - self._began,
            busy=self._before.busy + busy,
            capacity=self._before.capacity + (now - self._began) * self._slots,
            until=time.time(),
        )

    def save(self) -> None:
        """Store the usage in the study."""
        self._saved = time.monotonic()
        usage = {name: round(value, 3) for name, value in asdict(self.now()).items()}
        self._study.set_user_attr(USAGE, usage)

    def save_if_due(self) -> None:
        """Store the usage, at most every two seconds."""
        if time.monotonic() - self._saved >= _SAVE_EVERY:
            self.save()
