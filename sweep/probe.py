"""`sweep check --probe`: runs one trial for up to a minute, and proposes `resources` from what it uses."""

from __future__ import annotations

import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from sweep.analysis import formatting as text
from sweep.engine.threads import chosen_threads, thread_variables
from sweep.errors import SweepError
from sweep.sweepfile import SweepSpec
from sweep.system import processes
from sweep.system.cpus import usable_cpus
from sweep.system.gpus import Gpu, visible_gpus
from sweep.system.libraries import own_process

_LIMIT = 60.0  # seconds
_INTERVAL = 0.5
_GRACE = 2.0
_MARGIN = 0.1
"""How much more GPU memory than was seen trials may need."""
_MOST_PER_GPU = 16
_USED = 1 << 28
"""Bytes from which on a trial uses a GPU."""
_SHORT = 5.0
"""Seconds up to which the import of libraries is most of what is measured."""
_BUSY = 80.0
"""Percent of the time from which on trials that share a GPU slow each other down."""


@dataclass(frozen=True)
class Probe:
    """What one trial has used.

    Args:
        seconds: how long it ran.
        finished: whether it ended by itself, and was not stopped.
        cpu: the cores that it used, most of the time at most.
        memory_gb: the most memory of all its processes.
        gpus: on how many GPUs it used memory; None if no GPU can be seen.
        gpu_percent: how much of the time these GPUs were busy, on average; None if unknown.
        gpu_memory_gb: the most memory that it used on one GPU; None if unknown.
        gpu_total_gb: the memory of that GPU; None if unknown.
        is_machine_busy: whether other programs used the CPUs too, so that it may have waited for them.
    """

    seconds: float
    finished: bool
    cpu: float
    memory_gb: float
    gpus: int | None = None
    gpu_percent: float | None = None
    gpu_memory_gb: float | None = None
    gpu_total_gb: float | None = None
    is_machine_busy: bool = False

    @property
    def resources(self) -> dict[str, float]:
        """The proposed `resources`."""
        cores = 0.5 if self.cpu <= 0.5 else max(1, math.ceil(self.cpu - 0.2))
        return {"cpu": cores, "gpu": self._gpu_share} if self._gpu_share else {"cpu": cores}

    @property
    def _gpu_share(self) -> float:
        if self.gpus != 1 or self.gpu_memory_gb is None or self.gpu_total_gb is None:
            return float(self.gpus or 0)
        fitting = int(self.gpu_total_gb / (self.gpu_memory_gb * (1 + _MARGIN)))
        count = max(1, min(fitting, _MOST_PER_GPU))
        return 1 if count == 1 else math.floor(1000 / count) / 1000

    def to_dict(self) -> dict[str, Any]:
        """The measurements and the proposal, for `sweep check --json`."""
        return {**asdict(self), "resources": self.resources}

    @property
    def lines(self) -> list[str]:
        """The measurements and the proposal, for the terminal."""
        how = "ended by itself" if self.finished else "was stopped"
        lines = [f"one trial {how} after {text.duration(self.seconds)}; it used"]
        lines.append(f"  cpu     {self.cpu:.1f} cores")
        lines.append(f"  memory  {self.memory_gb:.2g} GB")
        if self.gpus is None:
            lines.append("  gpu     none that can be seen (NVIDIA's, with pip install 'sweep-hpo[gpu]')")
        elif self.gpus == 0:
            lines.append("  gpu     none")
        else:
            busy = "" if self.gpu_percent is None else f", busy {self.gpu_percent:.0f} % of the time"
            several = f"{self.gpus} GPUs, " if self.gpus > 1 else ""
            lines.append(f"  gpu     {several}{self.gpu_memory_gb:.3g} of {self.gpu_total_gb:.3g} GB{busy}")
        entry = ", ".join(f"{name}: {amount:g}" for name, amount in self.resources.items())
        lines.append(f"proposed: resources: {{{entry}}}")
        if self.resources.get("gpu", 1) < 1 and (self.gpu_percent or 0) >= _BUSY:
            lines.append("note: trials that share a GPU that is so busy slow each other down; compare gpu: 1")
        if self.finished and self.seconds < _SHORT:
            lines.append("note: in a trial this short, most of the CPU time is the import of libraries")
        if self.is_machine_busy:
            lines.append("note: other programs keep this machine busy; without them it may use more cores")
        return lines


def probe(file: Path, spec: SweepSpec, changes: Sequence[str], limit: float | None = None) -> Probe:
    """Run one trial in another process, measure what it uses, and stop it after a minute.

    Nothing is written to the directory of a sweep.

    Args:
        file: the sweep file.
        spec: the sweep.
        changes: the changes to the sweep file on the command line, as for `--set`.
        limit: seconds after which the trial is stopped.

    Raises:
        SweepError: the trial failed.
    """
    gpus = visible_gpus()
    options = [f"--set={change}" for change in changes]
    if gpus and spec.resources.gpus == 0:
        options.append("--set=resources.gpu=1")  # trial.device is the GPU
    env = {**os.environ, **thread_variables(max(1, int(spec.resources.cpu)), chosen_threads(spec.env))}
    with tempfile.TemporaryDirectory(prefix="sweep-probe-", ignore_cleanup_errors=True) as folder:
        arguments = ["debug", str(file), *options, f"--keep={folder}/trial"]
        with open(Path(folder, "output"), "w") as output:
            trial = subprocess.Popen(
                [*own_process("sweep.cli"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        measurement = _Measurement(trial, gpus)
        try:
            measurement.run(_LIMIT if limit is None else limit)
        finally:
            finished = trial.poll() is not None
            processes.terminate(measurement.family, grace=_GRACE)
            processes.terminate(processes.find([Path(folder)]))
            trial.wait()
        if finished and trial.returncode != 0:
            shown = Path(folder, "output").read_text(errors="replace").strip().splitlines()[-8:]
            raise SweepError(
                "\n".join([f"the trial failed; run it with: sweep debug {file}", *map(text.printable, shown)])
            )
    return measurement.result(finished)


class _Measurement:
    """Measures a process and its descendants.

    Args:
        process: the process.
        gpus: the GPUs that it can use.
    """

    def __init__(self, process: subprocess.Popen[str] | subprocess.Popen[bytes], gpus: list[Gpu]) -> None:
        self._process = process
        self._gpus = gpus
        self._before = [memory.used if (memory := gpu.memory()) else 0 for gpu in gpus]
        self._cpu: dict[int, float] = {}
        """The CPU time of each process so far."""
        self._rates: list[float] = []
        self._memory = 0
        self._gpu_memory = [0 for _ in gpus]
        self._gpu_rates: list[list[float]] = [[] for _ in gpus]
        self._began = self._last = time.monotonic()
        self.family: list[psutil.Process] = []

    def run(self, limit: float) -> None:
        """Measure until the process exits, or until the limit in seconds is reached."""
        while self._process.poll() is None and time.monotonic() < self._began + limit:
            self._measure()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_INTERVAL)

    def _measure(self) -> None:
        with suppress(psutil.Error):
            root = psutil.Process(self._process.pid)
            self.family = [root, *root.children(recursive=True)]
        before, memory = sum(self._cpu.values()), 0
        for process in self.family:
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._cpu[process.pid] = times.user + times.system
                memory += process.memory_info().rss
        now = time.monotonic()
        self._rates.append((sum(self._cpu.values()) - before) / max(1e-3, now - self._last))
        self._last = now
        self._memory = max(self._memory, memory)
        pids = {process.pid for process in self.family}
        for index, gpu in enumerate(self._gpus):
            used = gpu.memory_of(pids)
            if used is None and (found := gpu.memory()) is not None:
                used = found.used - self._before[index]
            self._gpu_memory[index] = max(self._gpu_memory[index], used or 0)
            if (rate := gpu.utilisation()) is not None:
                self._gpu_rates[index].append(rate)

    def result(self, finished: bool) -> Probe:
        """What has been measured."""
        # Not the mean: most of a short trial is the import of libraries.
        rates = sorted(self._rates[1:]) or [0.0]
        seconds = time.monotonic() - self._began
        is_busy = os.getloadavg()[0] > usable_cpus() + 1
        cpu, memory_gb = rates[int(0.8 * (len(rates) - 1))], self._memory / 1e9
        found = Probe(seconds, finished, cpu, memory_gb, is_machine_busy=is_busy)
        if not self._gpus:
            return found
        used = [index for index, most in enumerate(self._gpu_memory) if most >= _USED]
        if not used:
            return replace(found, gpus=0)
        largest = max(used, key=lambda index: self._gpu_memory[index])
        memory = self._gpus[largest].memory()
        return replace(
            found,
            gpus=len(used),
            gpu_percent=_mean(rate for index in used for rate in self._gpu_rates[index]),
            gpu_memory_gb=self._gpu_memory[largest] / 1e9,
            gpu_total_gb=None if memory is None else memory.total / 1e9,
        )


def _mean(numbers: Iterable[float]) -> float | None:
    found = list(numbers)
    return sum(found) / len(found) if found else None
