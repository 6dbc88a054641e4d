"""The agent of a Slurm job: joins the sweep's Ray with what the job has, and leaves it before the job ends.

Run as `python -m sweep.engine.ray.job_agent DIRECTORY` by the jobs of a sweep.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from sweep.engine.ray import private
from sweep.engine.ray.cluster import NODE_IP, SLOT_CPU
from sweep.engine.ray.temporary import object_store_folder, temporary_folder
from sweep.engine.slurm.clock import JobClock
from sweep.engine.slurm.head import Head
from sweep.errors import SweepError
from sweep.system import processes
from sweep.system.cpus import usable_cpus
from sweep.system.directory import SweepDirectory

if TYPE_CHECKING:
    from ray._private.node import Node

JOB_LABEL = "sweep-slurm-job"
"""The label of a job's machine in Ray: the number of the job."""

_CHECK_EVERY = 0.5  # seconds
_HEAD_TIMEOUT = 5.0  # seconds
_PATIENCE = 30.0
"""How long the sweep's Ray may be out of reach, in seconds. If it refuses connections, it has died."""
_FILE_DELAY = 10.0
"""How long a new file may take to appear on a shared file system, in seconds."""
_TERMINATION_NOTICE = 25.0
"""The time between Slurm's SIGTERM and SIGKILL, in seconds: a little less than KillWait, which is 30 unless
the site has changed it."""

_ASK_BEFORE_NOTICE = 30.0
"""How long before the notice the time limit is asked for again, in seconds: Slurm may take long to answer."""

_TASK_VARIABLES = (
    *("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_GTIDS"),
    *("SLURM_TASKS_PER_NODE", "SLURM_NTASKS_PER_NODE", "SLURM_STEP_ID", "SLURM_STEPID", "SLURM_TASK_PID"),
)
"""Variables from which Lightning and others conclude that they run as a task of a distributed job. A trial is
not one."""


class JobAgent:
    """Runs Ray's daemon of this machine until the job is about to end, or the sweep is over.

    Args:
        directory: the sweep's directory.
        head: how to join its Ray.
        clock: how much time the job has left.
    """

    def __init__(self, directory: SweepDirectory, head: Head, clock: JobClock) -> None:
        self._directory = directory
        self._head = head
        self._clock = clock
        left = clock.seconds_left()
        self._notice = head.notice if left is None else min(head.notice, left / 2)
        self._is_terminated = False
        self._is_limit_certain = False
        """Whether the time limit has just been asked for."""
        self._leaves_at: float | None = None
        """When this machine leaves at the latest, on the monotonic clock; None as long as it stays."""
        self._reached_head = time.monotonic()

    def run(self) -> None:
        """Join, and return when the job should end.

        Raises:
            SweepError: the sweep's Ray cannot be joined.
        """
        # Slurm sends SIGTERM to every process of a job at once. Ray's daemon and its workers inherit that it
        # is blocked: otherwise they would exit at once, and trials would lose what they have not saved.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._check_reachable()
        cpus, gpus = usable_cpus(), _gpus()
        for variable in _TASK_VARIABLES:
            os.environ.pop(variable, None)
        private.switch_memory_monitor_off()  # a job may not inherit the environment of `sweep run`
        with temporary_folder() as folder:
            node = self._join(folder, cpus, gpus)
            signal.signal(signal.SIGTERM, self.on_terminated)  # in place of Ray's handler
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            print(f"joined the sweep on {socket.gethostname()} with {cpus} CPUs", flush=True)
            try:
                while node.remaining_processes_alive() and (reason := self.check(node.node_id)) is None:
                    time.sleep(_CHECK_EVERY)
                print(f"leaving: {reason or 'nothing runs here any more'}", flush=True)
            finally:
                started = processes.descendants()
                node.kill_all_processes(check_alive=False, allow_graceful=False)
                processes.terminate([*started, *processes.descendants()])

    def _join(self, folder: str, cpus: int, gpus: int | None) -> Node:
        """Start Ray's daemon.

        Args:
            folder: where it keeps its sockets. Jobs that start at once on one machine would choose the same
                names in one folder, and fail.
            cpus: the CPUs of this job.
            gpus: its GPUs; None for those that Ray finds.
        """
        for is_last in (False, True):
            try:
                return private.join_as_node(
                    self._head.address,
                    self._head.token,
                    resources={SLOT_CPU: cpus},
                    labels={JOB_LABEL: os.environ["SLURM_JOB_ID"]},
                    num_cpus=cpus,
                    num_gpus=gpus,
                    temp_dir=folder,
                    plasma_directory=object_store_folder(folder),
                )
            except Exception as error:  # Ray's own limit of half a minute, which a busy machine can exceed
                processes.terminate(processes.descendants())
                if is_last:
                    raise SweepError(f"Ray does not start: {error}") from error
        raise AssertionError

    def on_terminated(self, number: int, frame: FrameType | None) -> None:
        self._is_terminated = True

    def check(self, node_id: str) -> str | None:
        """Announce that this machine leaves when it is time; returns why the job should end now."""
        with suppress(OSError):  # a shared file system can fail for a moment
            if Head.read(self._directory.head) != self._head:
                return "the sweep is over"
        if problem := self._find_problem():
            return problem
        if self._leaves_at is not None:
            return "the time is over" if time.monotonic() >= self._leaves_at else None
        if self._is_terminated:
            self._leave(node_id, _TERMINATION_NOTICE, "Slurm ends the job")
        elif (left := self._seconds_left()) is not None and left <= self._notice:
            self._leave(node_id, max(0.0, left), "the job reaches its time limit")
        return None

    def _seconds_left(self) -> float | None:
        """The time until the job's limit, which is asked for again some time before the notice."""
        left, ask_at = self._clock.seconds_left(), self._notice + _ASK_BEFORE_NOTICE
        if left is None or left > ask_at:
            self._is_limit_certain = False
        elif not self._is_limit_certain:
            self._is_limit_certain = True
            self._clock.renew()
            left = self._clock.seconds_left()
        return left

    def _leave(self, node_id: str, seconds: float, reason: str) -> None:
        print(f"{reason}: trials have {seconds:.0f} s to reach a checkpoint and move", flush=True)
        self._leaves_at = time.monotonic() + seconds
        refusal = private.request_drain(self._head.address, node_id, seconds)
        if refusal:
            print(f"Ray does not drain this machine: {refusal}", flush=True)

    def _find_problem(self) -> str | None:
        """Why the sweep's Ray is lost; None if it is not."""
        host, _, port = self._head.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_HEAD_TIMEOUT).close()
        except ConnectionRefusedError:
            return "the sweep's Ray has died"
        except OSError as error:
            if time.monotonic() - self._reached_head > _PATIENCE:
                return (
                    f"the sweep's Ray at {self._head.address} cannot be reached: {error}; if the login node "
                    f"has another address in the cluster, set {NODE_IP} there to that address"
                )
        else:
            self._reached_head = time.monotonic()
        return None

    def _check_reachable(self) -> None:
        while True:
            problem = self._find_problem()
            if problem is not None:
                raise SweepError(problem)
            if time.monotonic() - self._reached_head < _CHECK_EVERY:
                return
            time.sleep(_CHECK_EVERY)


def _gpus() -> int | None:
    """The GPUs that Slurm has given to this job; None if it says nothing about them."""
    count = os.environ.get("SLURM_GPUS_ON_NODE", "")
    given = os.environ.get("SLURM_JOB_GPUS", "")
    if given and "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = given
    return int(count) if count.isdecimal() else None


def main(arguments: list[str]) -> int:
    """The agent's program; returns its exit status."""
    directory = SweepDirectory(Path(arguments[0]))
    end = time.monotonic() + _FILE_DELAY
    while (head := Head.read(directory.head)) is None and time.monotonic() < end:
        time.sleep(_CHECK_EVERY)
    if head is None:
        print("the sweep is over", flush=True)
        return 0
    processes.adopt_orphans()
    try:
        JobAgent(directory, head, JobClock()).run()
    except SweepError as error:
        print(f"error: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
