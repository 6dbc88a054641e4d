"""`SystemScalars`: the use of CPU, GPU and memory of each attempt, as curves in TensorBoard."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from sweep.system import processes
from sweep.system.gpus import Gpu
from sweep.system.repeating import RepeatedCall
from sweep.tracking.events import EventFile, event_files
from sweep.tracking.read import read_scalars
from sweep.tracking.tensorboardx import summary_pb2
from sweep.tracking.texts import scalar_values

_INTERVAL = 10.0  # seconds


class ProcessUse(NamedTuple):
    """What this process and its children use.

    Args:
        cpu_seconds: the CPU time that they have used so far.
        memory: their memory in bytes.
        pids: their process IDs.
    """

    cpu_seconds: float
    memory: int
    pids: frozenset[int]


def process_use() -> ProcessUse:
    """What this process and its children use now."""
    this, children = psutil.Process(), processes.descendants()
    memory, pids = this.memory_info().rss, {this.pid}
    for child in children:
        with suppress(psutil.Error):
            memory += child.memory_info().rss
            pids.add(child.pid)
    return ProcessUse(cpu_seconds(children), memory, frozenset(pids))


def cpu_seconds(children: Iterable[psutil.Process]) -> float:
    """The CPU time of this process, of its children that have terminated, and of the given ones."""
    seconds = sum(os.times()[:4])
    for child in children:
        with suppress(psutil.Error):
            seconds += sum(child.cpu_times()[:4])
    return seconds


def gpu_scalars(gpus: Sequence[Gpu], pids: frozenset[int]) -> dict[str, float]:
    """The utilisation of a trial's GPUs in percent, on average, and the memory that it uses on them in GB.

    Where NVML does not show which process uses how much, it is the memory that all processes use.
    """
    scalars = {}
    busy = [rate for gpu in gpus if (rate := gpu.utilisation()) is not None]
    if busy:
        scalars["system/gpu"] = sum(busy) / len(busy)
    used = [gpu.memory_of(pids) for gpu in gpus]
    if None in used:
        used = [memory.used for gpu in gpus if (memory := gpu.memory()) is not None]
    if used:
        scalars["system/gpu_memory_gb"] = sum(number or 0 for number in used) / 1e9
    return scalars


class SystemScalars:
    """Writes what an attempt uses every ten seconds, in one thread for one attempt after another.

    The scalars are in a run below the trial's, which has its own steps: seconds. An attempt that is shorter
    than ten seconds has none.

    Args:
        gpus: the GPUs of the attempts.
    """

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self._gpus = gpus
        self._calls = RepeatedCall(_INTERVAL, "sweep-system")

    @contextmanager
    def written(self, directory: Path) -> Iterator[None]:
        """Write the scalars of the attempt in the block to a run directory, which is created for them."""
        curve = _Curve(directory, self._gpus)
        self._calls.start(curve.add_point)
        try:
            yield
        finally:
            self._calls.stop()
            curve.close()


class _Curve:
    """The scalars of one attempt, which continue those of earlier attempts of the trial.

    Args:
        directory: the run.
        gpus: the GPUs of the attempt.
    """

    def __init__(self, directory: Path, gpus: Sequence[Gpu]) -> None:
        self._directory = directory
        self._gpus = gpus
        self._file: EventFile | None = None
        self._first_step = 0
        self._began = self._last_time = time.monotonic()
        self._last_cpu = cpu_seconds(processes.descendants())  # those of earlier attempts may run on

    def add_point(self) -> None:
        """Write the values since the last call. The attempt does not depend on it: errors are ignored."""
        with suppress(OSError, psutil.Error):
            use, now = process_use(), time.monotonic()  # it reads the CPU time last
            cores = max(0.0, use.cpu_seconds - self._last_cpu) / max(1e-3, now - self._last_time)
            self._last_time, self._last_cpu = now, use.cpu_seconds
            scalars = {"system/cpu": cores, "system/memory_gb": use.memory / 1e9}
            scalars |= gpu_scalars(self._gpus, use.pids)
            summary: Any = summary_pb2.Summary(value=scalar_values(scalars))
            self._open().add_summary(summary, self._first_step + round(now - self._began))

    def _open(self) -> EventFile:
        if self._file is None:
            if event_files(self._directory):
                curves = read_scalars(self._directory).values()
                self._first_step = max((max(points) for points in curves), default=0)
            self._file = EventFile(self._directory)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.finish()
