"""`SlotCount`: the number of slots follows the machines of a cluster, which can join and leave."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from sweep.engine.observer import Observer
from sweep.engine.ray.worker_pool import WorkerPool
from sweep.messages import Progress

_CHECK_EVERY = 1.0  # seconds
_MOST_SPARE = 64
"""The largest number of workers that wait for machines to be added."""


class SlotCount:
    """Opens slots when a machine has joined, and closes those for which there is no place any more.

    Args:
        pool: the slots.
        count: counts the slots for which the cluster has room now.
        repeats: how many attempts a trial has at once.
        observer: is notified of changes.
        on_changed: called with the new number of slots.
        growth_limit: up to how many slots an autoscaler adds machines for, while workers wait for them; None
            for no limit. As many workers wait as there are slots, so that the cluster can double.
    """

    def __init__(
        self,
        pool: WorkerPool,
        count: Callable[[], int],
        repeats: int,
        observer: Observer,
        on_changed: Callable[[int], object],
        growth_limit: int | None = 0,
    ) -> None:
        self._pool = pool
        self._count = count
        self._repeats = repeats
        self._observer = observer
        self._on_changed = on_changed
        self._growth_limit = math.inf if growth_limit is None else growth_limit
        self._next_check = time.monotonic() + _CHECK_EVERY

    def check(self, progress: Progress | None) -> None:
        """Follow the cluster. Called regularly.

        Args:
            progress: the state of the sweep; None if the controller is not ready.
        """
        if time.monotonic() < self._next_check or progress is None:
            return
        self._next_check = time.monotonic() + _CHECK_EVERY
        before = self._pool.capacity
        if self.follow(progress):
            now = self._pool.capacity
            self._observer.on_note(f"the machines have changed: {now} at once, {before} before")

    def follow(self, progress: Progress) -> bool:
        """Open and close slots if there is room for more or fewer than before; returns whether there is."""
        before = self._pool.capacity, self._pool.spare
        room = self._count()
        capacity = max(1, room)  # a sweep that has no machine waits for the next one
        left = attempts_left(progress, self._repeats)
        spare = 0
        if room:
            limit = min(self._growth_limit, math.inf if left is None else left)
            spare = int(max(0, min(capacity, _MOST_SPARE, limit - capacity)))
        if (capacity, spare) == before:
            return False
        self._pool.resize(capacity, left, spare)
        if capacity == before[0]:
            return False
        self._on_changed(capacity)
        return True


def attempts_left(progress: Progress, repeats: int) -> int | None:
    """How many attempts a sweep still has at most, the running ones included; None if that is unknown."""
    if progress.stopped_by is not None:
        return 0
    return None if progress.total is None else (progress.total - progress.finished) * repeats
