"""`MemoryWatch`: when a machine's memory runs out, the attempt that uses most of it ends, and no other."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import psutil

from sweep.engine.ray import private
from sweep.system import processes
from sweep.system.directory import TrialDirectory
from sweep.system.repeating import RepeatedCall

_INTERVAL = 0.25
"""Time between two checks, in seconds."""
_METHOD = "Worker.run"
"""How the methods are called with which workers run attempts: `RayWorker.run`, `RankWorker.run_rank`."""
_CHECKS = 3
"""How many checks in a row must agree, because what another worker has killed is not freed at once."""


class MemoryWatch:
    """Kills this worker with its processes if memory is short and no other worker on the machine uses more.

    Ray's own monitor is switched off where this package starts Ray: it kills the controller and the newest
    workers first, and does not count the child processes of a worker, such as a script or a data loader.
    """

    def __init__(self) -> None:
        self._calls = RepeatedCall(_INTERVAL, "sweep-memory")
        self._limit = private.memory_limit()
        self._raylet = next((each for each in psutil.Process().parents() if each.name() == "raylet"), None)
        self._found = 0

    @contextmanager
    def watching(self, trial: TrialDirectory) -> Iterator[None]:
        """Watch the attempt in the block."""
        was_ended(trial)  # an earlier attempt, of which it has not been asked
        self._found = 0
        self._calls.start(partial(self._check, trial))
        try:
            yield
        finally:
            self._calls.stop()

    def _check(self, trial: TrialDirectory) -> None:
        use = private.memory_use()
        memory = self._memory_of_workers() if use >= self._limit else {}
        this = memory.pop(os.getpid(), 0)
        self._found = self._found + 1 if this > max(memory.values(), default=0) else 0
        if self._found == _CHECKS:
            _end(trial, f"the machine's memory ran out, and this trial used most of it, {this / 1e9:.1f} GB")

    def _memory_of_workers(self) -> dict[int, int]:
        """The memory in bytes of each worker here that runs an attempt, with its child processes."""
        memory: dict[int, int] = {}
        if self._raylet is None:
            return memory
        with suppress(psutil.Error):
            workers: dict[int, int] = {}
            """The worker to which each process belongs; parents come before their children."""
            for each in self._raylet.children(recursive=True):
                with suppress(psutil.Error):
                    worker = workers.get(each.ppid())
                    if worker is None:
                        if each.pid != os.getpid() and not private.runs_method(each, _METHOD):
                            continue
                        worker = each.pid
                    workers[each.pid] = worker
                    use = each.memory_info()
                    memory[worker] = memory.get(worker, 0) + use.rss - getattr(use, "shared", 0)
        return memory


def _end(trial: TrialDirectory, reason: str) -> None:
    with suppress(OSError):
        trial.out_of_memory.touch()
    with suppress(Exception):  # the objective can have put anything in the place of sys.stderr
        print(f"killed: {reason}", file=sys.stderr, flush=True)
    # No wait in between: the attempt must not go on and report that its script has been killed.
    for pid in [*(child.pid for child in processes.descendants()), os.getpid()]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def was_ended(trial: TrialDirectory) -> bool:
    """Whether a watch has killed the last attempt of a trial on this machine; asked once."""
    with suppress(OSError):
        trial.out_of_memory.unlink()
        return True
    return False
