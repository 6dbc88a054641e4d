"""Measures how long a sweep has run, over all its sessions, and how busy its slots were."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

import optuna

from sweep.study.attributes import USAGE
from sweep.system.directory import SweepDirectory
from sweep.system.durable import write_atomically
from sweep.system.repeating import RepeatedCall

_SAVE_EVERY = 2.0  # seconds


@dataclass(frozen=True)
class Usage:
    """Times of a sweep up to `until`, all in seconds.

    Args:
        elapsed: how long the sweep ran; downtime between sessions is not counted.
        busy: the time its slots spent on trials, summed over the slots.
        capacity: `elapsed`, summed over the slots.
        until: the time of this measurement, in seconds since the epoch.
        startup: the time that passed in each session until its first attempt started, summed over the slots;
            0 if an earlier version ran it.
        sampling: the time that slots waited for the sampler afterwards, summed over the slots; 0 likewise.
        slots: how many trials the session can run at once; 0 if an earlier version has stored this.
    """

    elapsed: float = 0.0
    busy: float = 0.0
    capacity: float = 0.0
    until: float = 0.0
    startup: float = 0.0
    sampling: float = 0.0
    slots: int = 0

    @property
    def utilisation(self) -> float | None:
        """The share of the slots' time that was spent on trials, 0 to 1; None at the very start."""
        return min(1.0, self.busy / self.capacity) if self.capacity > 0 else None


def stored_usage(directory: SweepDirectory, study: optuna.Study | None) -> Usage:
    """The usage of a sweep as it was last stored; zero if it has not been stored yet."""
    found = Usage(**(study.user_attrs.get(USAGE, {}) if study is not None else {}))
    with suppress(OSError, ValueError, TypeError):
        stored = Usage(**json.loads(directory.usage.read_text(encoding="utf-8")))
        found = max(found, stored, key=lambda usage: usage.until)
    return found


class UsageMeter:
    """Measures the usage of a session, and adds it to that of earlier sessions.

    It is stored in a small file, which is replaced: in the study's journal, which only grows, a line every
    two seconds would be 57 MB a week.

    Args:
        directory: the sweep's directory.
        study: the sweep's study.
        slots: the number of slots of this session; it can change.
    """

    def __init__(self, directory: SweepDirectory, study: optuna.Study, slots: int) -> None:
        self._path = directory.usage
        self._slots = slots
        self._capacity = 0.0
        """The slots' time of this session up to `_slots_since`, when their number last changed."""
        self._before = stored_usage(directory, study)
        self._began = self._slots_since = time.monotonic()
        self._finished_busy = 0.0
        self._running: dict[tuple[int, int], float] = {}
        self._startup: float | None = None
        """The slots' time until the first attempt started; None until then."""
        self._sampling = 0.0
        self._writing = threading.Lock()
        self.save()

    @property
    def earlier_end(self) -> float:
        """When the last session before this one stored its usage, in seconds since the epoch."""
        return self._before.until

    def start(self, run: tuple[int, int], ago: float = 0.0) -> None:
        """Record that an attempt of a run (trial number, repeat) started `ago` seconds ago."""
        now = time.monotonic()
        self._running[run] = now - ago
        if self._startup is None:
            self._startup = (now - self._began) * self._slots

    def end(self, run: tuple[int, int]) -> float:
        """Record that the attempt has ended; returns its duration in seconds."""
        now = time.monotonic()
        started = self._running.pop(run, now)
        self._finished_busy += now - max(started, self._began)
        return now - started

    def add_sampling(self, seconds: float) -> None:
        """Record that a slot waited for the sampler. Before the first attempt that is part of start-up."""
        if self._startup is not None:
            self._sampling += seconds

    def set_slots(self, slots: int) -> None:
        """Record that the number of slots has changed, because machines have joined or left."""
        now = time.monotonic()
        self._capacity += (now - self._slots_since) * self._slots
        self._slots, self._slots_since = slots, now

    def now(self) -> Usage:
        """The usage of all sessions so far."""
        now = time.monotonic()
        # Time before this session is part of the usage of earlier sessions.
        running = sum(now - max(started, self._began) for started in list(self._running.values()))
        busy = self._finished_busy + running
        capacity = self._capacity + (now - self._slots_since) * self._slots
        return Usage(
            elapsed=self._before.elapsed + now - self._began,
            busy=self._before.busy + busy,
            capacity=self._before.capacity + capacity,
            until=time.time(),
            startup=self._before.startup + (capacity if self._startup is None else self._startup),
            sampling=self._before.sampling + self._sampling,
            slots=self._slots,
        )

    def save(self) -> None:
        """Store the usage. If that fails, the next time counts: a full disk also stops the journal."""
        usage = {name: round(value, 3) for name, value in asdict(self.now()).items()}
        with self._writing, suppress(OSError):
            write_atomically(self._path, json.dumps(usage))

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Store the usage every two seconds in a thread, also while a sampler or an inline trial runs."""
        repeated = RepeatedCall(_SAVE_EVERY, "sweep-usage")
        repeated.start(self.save)
        try:
            yield
        finally:
            repeated.stop()
