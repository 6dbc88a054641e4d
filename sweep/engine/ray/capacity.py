"""Whether Ray has room for a sweep: if others have it all, Ray waits for ever, and without a word."""

from __future__ import annotations

import time
from typing import Any

import ray

from sweep.engine.observer import Observer
from sweep.sweepfile.model import Resources

LOOK_EVERY = 10.0  # seconds
_LONGEST_START = 60.0  # seconds, of a worker that has its room


class ClusterCapacity:
    """Says, once, that not a single worker can start for want of room.

    Args:
        resources: what each trial occupies.
        observer: is told.
    """

    def __init__(self, resources: Resources, observer: Observer) -> None:
        self._resources = resources
        self._observer = observer
        # Ray takes the room of a worker away before there is one: what was free at first may be our own's.
        self._patience = 0.0 if self._lack() else _LONGEST_START
        self._began = time.monotonic()
        self._begun: list[Any] = []
        self._next_look: float | None = self._began + LOOK_EVERY

    def expect(self, worker: Any) -> None:
        """A worker is being started; it has its room as soon as it runs, however long its imports take."""
        if self._next_look is not None:
            self._begun.append(worker.__ray_ready__.remote())

    def look(self) -> None:
        """To be called now and then."""
        if self._next_look is None or time.monotonic() < self._next_look or not self._begun:
            return
        self._next_look = time.monotonic() + LOOK_EVERY
        if ray.wait(self._begun, timeout=0)[0]:
            self._next_look = None
        elif time.monotonic() >= self._began + self._patience and (lack := self._lack()):
            self._observer.on_note(lack)
            self._next_look = None
        if self._next_look is None:
            self._begun.clear()

    def _lack(self) -> str:
        """What is not there; nothing if there is enough of all."""
        free = ray.available_resources()
        cpu, gpu = free.get("CPU", 0.0), free.get("GPU", 0.0)
        needed = self._resources
        if cpu >= needed.cpu and gpu >= needed.gpu:
            return ""
        return (
            f"waiting for room: each trial needs cpu: {needed.cpu:g}, gpu: {needed.gpu:g}, and this Ray has "
            f"cpu: {cpu:g}, gpu: {gpu:g} free now; trials begin when what else runs there has ended"
        )
