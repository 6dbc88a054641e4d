"""The worker actor: runs one attempt after another in a process that stays warm."""

from __future__ import annotations

import os
import resource
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psutil
import ray

from sweep.engine.attempt import AttemptRunner, AttemptSettings, ObjectiveImportError
from sweep.engine.output import redirect_output
from sweep.engine.ray.channel import RayChannel, new_sender
from sweep.engine.ray.private import remove_driver_path
from sweep.engine.threads import set_threads
from sweep.errors import SweepError
from sweep.messages import Assignment, Outcome
from sweep.objective.pickled_function import PickledFunction
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
        share: a trial's share of the cores: how many threads numeric libraries use.
        chosen_threads: the variables with which the user has set another number.
        max_attempts: the process is replaced after this many attempts; None for no limit.
        max_memory: the process is replaced when it uses this many bytes; None for no limit.
    """

    def __init__(
        self,
        settings: AttemptSettings,
        run_id: str,
        controller: Any,
        share: int,
        chosen_threads: Mapping[str, str],
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
        set_threads(share, chosen_threads)
        remove_driver_path()
        # What a trial prints goes to a file, which has every character whatever the locale is.
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
        self._settings = settings
        self._controller = controller
        self._max_attempts = max_attempts
        self._max_memory = max_memory
        self._runner: AttemptRunner | None = None
        self._attempts = 0
        self._sender = new_sender()

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
        # Ray's hook would open a port and wait forever.
        sys.breakpointhook = partial(_refuse_breakpoint, self._how_to_debug(assignment))
        channel = RayChannel(self._controller, assignment, self._sender)
        outcome = self._runner.run(assignment, channel)
        outcome = replace(outcome, reports=channel.close())
        self._attempts += 1
        is_spent = bool(self._runner.left) or self._is_spent(outcome)
        return FinishedAttempt(outcome, is_spent, processes.count_kernel_kills())

    def probe(self) -> None:
        """Do nothing: an answer shows that the process is alive."""

    def _how_to_debug(self, assignment: Assignment) -> str:
        if isinstance(self._settings.objective, PickledFunction):
            return "pass inline=True to sweep.run"
        directory = shlex.quote(str(self._settings.directory.root))
        return f"run the trial with: sweep debug {directory} --trial {assignment.number}"

    def _is_spent(self, outcome: Outcome) -> bool:
        return (
            outcome.kind == "oom"  # the objects that filled the memory may still exist
            or (self._max_attempts is not None and self._attempts >= self._max_attempts)
            or (self._max_memory is not None and psutil.Process().memory_info().rss >= self._max_memory)
            or processes.count_descriptors() > resource.getrlimit(resource.RLIMIT_NOFILE)[0] / 2
        )


def _refuse_breakpoint(advice: str, *args: Any, **kwargs: Any) -> None:
    raise RuntimeError(f"breakpoint() needs a terminal, and a worker has none; {advice}")
