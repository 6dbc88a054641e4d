"""The worker actor: runs one attempt after another in a process that stays warm."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass, replace
from typing import Any

import psutil
import ray

from sweep.engine.attempt import AttemptRunner, AttemptSettings, ObjectiveImportError
from sweep.engine.output import redirect_output
from sweep.engine.ray.channel import RayChannel
from sweep.errors import SweepError
from sweep.messages import Assignment, Outcome
from sweep.system import processes
from sweep.system.lock import join_run


@dataclass(frozen=True)
class FinishedAttempt:
    """An attempt that a worker has executed completely.

    Args:
        outcome: the outcome of the attempt.
        is_worker_spent: whether the worker must be replaced before the next attempt.
        oom_kills: the machine's `processes.count_kernel_kills` after the attempt.
    """

    outcome: Outcome
    is_worker_spent: bool
    oom_kills: int


class RayWorker:
    """An actor that runs attempts, and keeps imports and the CUDA context between them.

    Args:
        settings: the settings that all attempts share.
        run_id: the id of the sweep's run.
        controller: the handle of the controller.
        threads: how many threads numeric libraries may use: a trial's share of the cores.
        max_attempts: the process is replaced after this many attempts; None for no limit.
        max_memory: the process is replaced when it uses this many bytes; None for no limit.
    """

    def __init__(
        self,
        settings: AttemptSettings,
        run_id: str,
        controller: Any,
        threads: int,
        max_attempts: int | None,
        max_memory: float | None,
    ) -> None:
        processes.exit_with_parent()
        processes.adopt_orphans()
        # The fence becomes standard input, because child processes inherit it unless they are given another
        # one. Reading from it returns nothing, as from /dev/null.
        fence = join_run(settings.directory.fence, settings.directory.lock, run_id)
        os.dup2(fence, 0)
        os.close(fence)
        # Before the import of NumPy or torch, which read these once. Ray has set OMP_NUM_THREADS to 1.
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
            os.environ[variable] = str(threads)
        os.chdir(settings.working_directory)
        # What a trial prints goes to a file, which has every character whatever the locale is.
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
        sys.breakpointhook = _refuse_breakpoint  # Ray's hook would open a port and wait forever
        self._settings = settings
        self._controller = controller
        self._max_attempts = max_attempts
        self._max_memory = max_memory
        self._runner: AttemptRunner | None = None
        self._attempts = 0

    def load(self) -> tuple[str, int]:
        """Import the objective.

        Returns:
            Ray's ID of this machine, and its `processes.count_kernel_kills`.

        Raises:
            SweepError: the objective cannot be imported.
        """
        try:
            self._runner = AttemptRunner(self._settings, redirect_output)
        except ObjectiveImportError as error:
            raise SweepError(str(error)) from None
        return ray.get_runtime_context().get_node_id(), processes.count_kernel_kills()

    def run(self, assignment: Assignment) -> FinishedAttempt:
        """Run one attempt. Its last reports are sent with the outcome."""
        assert self._runner is not None
        channel = RayChannel(self._controller, assignment)
        outcome = self._runner.run(assignment, channel)
        outcome = replace(outcome, reports=channel.close())
        self._attempts += 1
        is_spent = not self._runner.is_clean or self._is_spent(outcome)
        return FinishedAttempt(outcome, is_spent, processes.count_kernel_kills())

    def probe(self) -> None:
        """Do nothing: an answer shows that the process is alive."""

    def _is_spent(self, outcome: Outcome) -> bool:
        return (
            outcome.kind == "oom"  # the objects that filled the memory may still exist
            or (self._max_attempts is not None and self._attempts >= self._max_attempts)
            or (self._max_memory is not None and psutil.Process().memory_info().rss >= self._max_memory)
            or processes.count_descriptors() > resource.getrlimit(resource.RLIMIT_NOFILE)[0] / 2
        )


def _refuse_breakpoint(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError(
        "breakpoint() needs a terminal, and a worker has none; run the trial with "
        "`sweep debug FILE --trial N`, or the sweep with --inline"
    )
