"""The GPU memory of attempts: the most that one uses, and what it leaves in its process."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sweep.engine.classify import is_gpu_memory_error
from sweep.messages import GpuUse
from sweep.system import processes
from sweep.system.gpus import Gpu

_INTERVAL = 0.2
"""Seconds between two measurements; at the start of an attempt there are more."""
_FIRST_INTERVAL = 0.01
_CHILDREN_INTERVAL = 2.0
"""Seconds between two looks for child processes."""
_CONTEXT = 1 << 30
"""Bytes that the first attempt of a process may leave: CUDA's context and the kernels of libraries."""
_GROWTH = 1 << 28
"""Bytes by which later attempts may increase that: more kernels."""


class GpuMemoryMeter:
    """Measures the GPU memory of this process and its children, for one attempt after another.

    Args:
        gpus: the GPUs of the attempts.
        share: how much of a GPU they have. With a whole one nothing else is on it, so that what is in use is
            used by this process, also where NVML does not show which process uses how much (in containers).
    """

    def __init__(self, gpus: Sequence[Gpu], share: float) -> None:
        self._gpus = gpus
        self._share = share
        memories = [gpu.memory() for gpu in gpus]
        self._others = [0 if share < 1 or memory is None else memory.used for memory in memories]
        """What other programs use on GPUs that no other attempt uses."""
        self._pids: frozenset[int] = frozenset()
        self._pids_until = 0.0
        self._peak: int | None = None
        self._is_over = threading.Event()
        self._first = self._used()
        """What was in use before the first attempt; None if unknown, or if that was nothing."""
        self._left: list[int | None] | None = None
        """The least that an attempt has left; None before the first one has ended."""

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure the largest use in the block, in another thread."""
        self._peak = None
        self._is_over.clear()
        _reset_torch_peak()
        thread = threading.Thread(target=self._measure, name="sweep-gpu-memory", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()
            self._sample(_torch_cache())

    def use(self, error: BaseException | None) -> GpuUse:
        """The GPU memory of the last attempt.

        Args:
            error: the exception that it raised.
        """
        totals = [
            memory.total - others
            for gpu, others in zip(self._gpus, self._others, strict=True)
            if (memory := gpu.memory()) is not None
        ]
        is_exhausted = error is not None and is_gpu_memory_error(error)
        return GpuUse(self._peak, min(totals, default=0), is_exhausted, self._share)

    def leftover(self) -> int:
        """How many bytes more than expected are in use after an attempt, on one GPU; 0 if unknown."""
        left = self._used()
        known = self._left
        if known is None:
            # A process that is in NVML's list now and was not before had used nothing.
            allowed: list[int | None] = [(first or 0) + _CONTEXT for first in self._first]
        else:
            allowed = [None if least is None else least + _GROWTH for least in known]
        self._left = left if known is None else list(map(_smaller, known, left))
        pairs = zip(left, allowed, strict=True)
        excess = [now - most for now, most in pairs if now is not None and most is not None]
        return max(0, *excess, 0)

    def _measure(self) -> None:
        interval = _FIRST_INTERVAL
        while not self._is_over.wait(interval):
            self._sample()
            interval = min(2 * interval, _INTERVAL)

    def _sample(self, extra: int = 0) -> None:
        known = [used for used in self._used() if used is not None]
        if known:
            self._peak = max(self._peak or 0, max(known) + extra)

    def _used(self) -> list[int | None]:
        """The bytes that this process and its children use on each GPU; None if unknown."""
        now = time.monotonic()
        if now >= self._pids_until:
            self._pids_until = now + _CHILDREN_INTERVAL
            self._pids = frozenset(process.pid for process in processes.family())
        return [self._used_on(index) for index in range(len(self._gpus))]

    def _used_on(self, index: int) -> int | None:
        gpu = self._gpus[index]
        if (own := gpu.memory_of(self._pids)) is not None:
            return own
        memory = gpu.memory()
        if memory is None:
            return None
        if self._share >= 1:
            # Less than at the start: the driver had not yet released what a dead process used.
            self._others[index] = min(self._others[index], memory.used)
            return memory.used - self._others[index]
        return None


def _smaller(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def _torch() -> Any | None:
    """torch, if it uses a GPU in this process."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _reset_torch_peak() -> None:
    if (torch := _torch()) is not None:
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)


def _torch_cache() -> int:
    """How many bytes torch has had more than it has now. Unlike NVML's numbers this includes short peaks."""
    if (torch := _torch()) is None:
        return 0
    return max(
        (
            torch.cuda.max_memory_reserved(index) - torch.cuda.memory_reserved(index)
            for index in range(torch.cuda.device_count())
        ),
        default=0,
    )
