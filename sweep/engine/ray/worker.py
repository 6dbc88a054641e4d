"""The worker actor: runs one attempt after another in a process that stays warm."""

from __future__ import annotations

import gc
import os
import resource
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psutil
import ray

from sweep.engine.attempt import AttemptRunner, AttemptSettings, ObjectiveImportError
from sweep.engine.output import redirect_output
from sweep.engine.ray.channel import RayChannel, new_sender
from sweep.engine.ray.location import RemoteStore, SweepLocation, sent_run
from sweep.engine.ray.memory_watch import MemoryWatch
from sweep.engine.ray.mps import use_mps
from sweep.engine.ray.private import remove_driver_path
from sweep.engine.ray.termination import JobTermination
from sweep.engine.ray.user_code import SentFolder, locate_code
from sweep.engine.threads import set_threads
from sweep.errors import SweepError
from sweep.messages import Assignment, Outcome
from sweep.objective.pickled_function import PickledFunction
from sweep.script.reference import ScriptReference
from sweep.system import processes
from sweep.system.directory import SweepDirectory
from sweep.system.ranks import Rank


@dataclass(frozen=True)
class LoadedWorker:
    """A worker that has imported the objective.

    Args:
        node_id: Ray's ID of its machine.
        oom_kills: the machine's `processes.count_kernel_kills`.
        directory: the sweep's directory for trials on that machine.
        gpus: Ray's IDs of its GPUs.
        others: the workers of the other ranks, if several run each trial together.
    """

    node_id: str
    oom_kills: int
    directory: SweepDirectory
    gpus: tuple[str, ...] = ()
    others: tuple[LoadedWorker, ...] = ()


class WorkerError(SweepError):
    """A worker cannot import the objective.

    Args:
        message: why.
        node_id: Ray's ID of its machine. Has a default because exceptions are unpickled without it.
    """

    def __init__(self, message: str, node_id: str | None = None) -> None:
        super().__init__(message)
        self.node_id = node_id


CONNECTION_LOST = "the connection to its worker was lost before it could begin"
_GPU_LEFTOVER = (
    "a trial has left GPU memory in its worker process, which is replaced then; a reason can "
    "be tensors in global variables; what all trials need can be loaded when the module is imported"
)


@dataclass(frozen=True)
class FinishedAttempt:
    """An attempt that a worker has executed completely.

    Args:
        outcome: the outcome of the attempt.
        is_worker_spent: whether the worker must be replaced before the next attempt.
        oom_kills: the machine's `processes.count_kernel_kills` after the attempt.
        ended: when the objective ended, in seconds since the epoch.
    """

    outcome: Outcome
    is_worker_spent: bool
    oom_kills: int
    ended: float = 0.0

    def is_of(self, assignment: Assignment) -> bool:
        """Whether it is the attempt of this assignment."""
        own, other = self.outcome, assignment
        return (own.number, own.attempt, own.repeat) == (other.number, other.attempt, other.repeat)


class RayWorker:
    """An actor that runs attempts, and keeps imports and the CUDA context between them.

    Args:
        settings: the settings that all attempts share.
        run_id: the id of the sweep's run.
        controller: the handle of the controller.
        location: where the sweep's directory is.
        share: a trial's share of the cores: how many threads numeric libraries use.
        gpu: the GPUs that this worker holds, or its share of one.
        chosen_threads: the variables with which the user has set another number.
        max_attempts: the process is replaced after this many attempts; None for no limit.
        max_memory: the process is replaced when it uses this many bytes; None for no limit.
        uses_mps: whether NVIDIA's Multi-Process Service is used.
        sent: the folder of which this process has a copy as its working directory; None if it has none.
    """

    def __init__(
        self,
        settings: AttemptSettings,
        run_id: str,
        controller: Any,
        location: SweepLocation,
        share: int,
        gpu: float,
        chosen_threads: Mapping[str, str],
        max_attempts: int | None,
        max_memory: float | None,
        uses_mps: bool,
        sent: SentFolder | None = None,
    ) -> None:
        self._notes: tuple[str, ...] = ()
        if uses_mps and (problem := use_mps(settings.directory)):
            self._notes = (problem,)
        processes.exit_with_parent()
        processes.adopt_orphans()
        # The fence becomes standard input, because child processes inherit it unless they are given another
        # one. Reading from it returns nothing, as from /dev/null.
        directory, fence = location.join(run_id)
        os.dup2(fence, 0)
        os.close(fence)
        set_threads(share, chosen_threads)
        remove_driver_path()
        # What a trial prints goes to a file, which has every character whatever the locale is.
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
        self._memory = MemoryWatch()
        self._termination = JobTermination(isinstance(settings.objective, ScriptReference))
        self._settings = replace(settings, directory=directory)
        self._location = location
        self._sent_folder = sent
        self._send: Callable[[Assignment], AbstractContextManager[Mapping[str, str]]] | None = None
        """Sends the files of an attempt, if this machine does not have the sweep's directory."""
        self._controller = controller
        self._gpu = gpu
        self._max_attempts = max_attempts
        self._max_memory = max_memory
        self._runner: AttemptRunner | None = None
        self._attempts = 0
        self._sender = new_sender()
        self._last: FinishedAttempt | None = None
        self._rank: Rank | None = None
        """Its place in the current attempt, if several workers run it."""

    def load(self) -> LoadedWorker:
        """Import the objective.

        Raises:
            WorkerError: the objective cannot be imported.
            CodeMissing: this machine does not have the user's folder.
        """
        context = ray.get_runtime_context()
        is_shared = self._settings.directory == self._location.directory
        self._settings = locate_code(self._settings, is_shared, self._sent_folder)
        try:
            self._runner = AttemptRunner(self._settings, redirect_output, gpu=self._gpu)
        except ObjectiveImportError as error:
            raise WorkerError(str(error), context.get_node_id()) from None
        gc.freeze()  # a collection in a trial need not visit what was imported: 0.1 s with torch
        gpus = tuple(context.get_accelerator_ids().get("GPU", ()))
        kills = processes.count_kernel_kills()
        return LoadedWorker(context.get_node_id(), kills, self._settings.directory, gpus)

    def connect(self, store: RemoteStore) -> None:
        """Send the files of all attempts to a store: this machine does not have the sweep's directory."""
        from sweep.engine.transfer.attempt import new_file_sender, sent

        repeated = new_file_sender()
        directory = self._settings.directory
        self._send = lambda assignment: sent(directory, sent_run(assignment), store, repeated)

    def run(self, assignment: Assignment) -> FinishedAttempt:
        """Run one attempt. Its last reports are sent with the outcome."""
        self._last = self._run_and_send(assignment)
        return self._last

    def _run_and_send(self, assignment: Assignment) -> FinishedAttempt:
        if self._send is None:
            return self._run(assignment)
        with self._send(assignment) as problems:
            finished = self._run(assignment)
        notes = [
            f"{path} {problem}: it is not in the sweep's directory" for path, problem in problems.items()
        ]
        return replace(finished, outcome=replace(finished.outcome, notes=(*finished.outcome.notes, *notes)))

    def _run(self, assignment: Assignment) -> FinishedAttempt:
        assert self._runner is not None
        # Ray's hook would open a port and wait forever.
        sys.breakpointhook = partial(_refuse_breakpoint, self._how_to_debug(assignment))
        channel = RayChannel(self._controller, assignment, self._sender)
        trial = self._settings.directory.trial(assignment.number, assignment.label)
        with self._memory.watching(trial):
            outcome = self._runner.run(assignment, channel, self._rank)
        outcome = replace(self._termination.excuse(outcome), reports=channel.close())
        outcome = replace(outcome, notes=(*outcome.notes, *self._notes))
        self._attempts += 1
        is_spent = bool(self._runner.left) or self._is_spent(outcome)
        if self._runner.watch.gpu_leftover() > 0:
            is_spent = True
            outcome = replace(outcome, notes=(*outcome.notes, _GPU_LEFTOVER))
        return FinishedAttempt(outcome, is_spent, processes.count_kernel_kills(), self._runner.ended)

    def probe(self) -> None:
        """Do nothing: an answer shows that the process is alive."""

    def last_attempt(self) -> FinishedAttempt | None:
        """What `run` has returned last, if the answer was lost."""
        return self._last

    def _how_to_debug(self, assignment: Assignment) -> str:
        if isinstance(self._settings.objective, PickledFunction):
            return "pass inline=True to sweep.run"
        directory = shlex.quote(str(self._location.directory.root))
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
