"""When the agent of a Slurm job leaves the sweep, without Ray."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from sweep.engine.ray import job_agent, private
from sweep.engine.ray.job_agent import JobAgent
from sweep.engine.ray.termination import JobTermination
from sweep.engine.slurm.clock import JobClock
from sweep.engine.slurm.head import Head
from sweep.messages import Outcome, OutcomeKind
from sweep.system.directory import SweepDirectory


class Clock(JobClock):
    """A clock whose job has the given time left, and more once Slurm is asked again."""

    def __init__(self, left: float | None, after: float | None = None) -> None:
        self.left = left
        self.after = left if after is None else after

    def seconds_left(self) -> float | None:
        return self.left

    def renew(self) -> None:
        self.left = self.after


class Sweep:
    """A sweep whose Ray is a port that accepts connections.

    Attributes:
        drained: the notice of each drain that the agent has announced, in seconds.
    """

    def __init__(self, directory: SweepDirectory, port: socket.socket) -> None:
        self.directory = directory
        self.port = port
        self.head = Head(f"127.0.0.1:{port.getsockname()[1]}", "token", 30.0)
        self.head.write(directory.head)
        self.drained: list[float] = []

    def agent(self, clock: Clock | None = None) -> JobAgent:
        return JobAgent(self.directory, self.head, clock or Clock(None))

    def drain(self, address: str, node_id: str, seconds: float) -> str:
        self.drained.append(seconds)
        return ""


@pytest.fixture
def sweep(directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    with socket.create_server(("127.0.0.1", 0)) as port:
        sweep = Sweep(directory, port)
        monkeypatch.setattr(private, "request_drain", sweep.drain)
        yield sweep


def test_a_job_with_time_left_stays(sweep: Sweep) -> None:
    for left in (None, 3600.0):
        assert sweep.agent(Clock(left)).check("node") is None
    assert sweep.drained == []


def test_before_its_time_limit_a_job_lets_trials_move_and_then_ends(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = sweep.agent(clock := Clock(3600.0))
    clock.left = clock.after = 20.0
    assert agent.check("node") is None
    assert sweep.drained == [20.0]
    assert agent.check("node") is None
    assert sweep.drained == [20.0]
    later = time.monotonic() + 21
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert agent.check("node") == "the time is over"


def test_a_short_job_works_for_half_of_its_time(sweep: Sweep) -> None:
    agent = sweep.agent(clock := Clock(40.0))
    clock.left = clock.after = 25.0
    assert agent.check("node") is None
    assert sweep.drained == []
    clock.left = clock.after = 20.0
    agent.check("node")
    assert sweep.drained == [20.0]


def test_a_job_whose_time_limit_has_been_extended_stays(sweep: Sweep) -> None:
    agent = sweep.agent(clock := Clock(3600.0))
    clock.left, clock.after = 20.0, 7200.0
    assert agent.check("node") is None
    assert sweep.drained == []


def test_the_limit_is_asked_for_again_before_the_notice_begins(sweep: Sweep) -> None:
    agent = sweep.agent(clock := Clock(3600.0))
    clock.left, clock.after = 55.0, 20.0  # the notice is 30 s
    assert agent.check("node") is None
    assert sweep.drained == [20.0]


def test_a_job_that_slurm_ends_lets_trials_move(sweep: Sweep) -> None:
    agent = sweep.agent()
    agent.on_terminated(signal.SIGTERM, None)
    assert agent.check("node") is None
    assert sweep.drained == [25.0]


def test_a_job_ends_with_its_sweep(sweep: Sweep) -> None:
    agent = sweep.agent()
    Head("127.0.0.1:1", "another", 30.0).write(sweep.directory.head)
    assert agent.check("node") == "the sweep is over"
    sweep.directory.head.unlink()
    assert agent.check("node") == "the sweep is over"


def test_a_file_system_that_fails_for_a_moment_does_not_end_a_job(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> Head:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Head, "read", fail)
    assert sweep.agent().check("node") is None


def test_a_job_ends_when_the_ray_of_its_sweep_has_died(sweep: Sweep) -> None:
    agent = sweep.agent()
    sweep.port.close()
    assert agent.check("node") == "the sweep's Ray has died"


def test_a_ray_that_does_not_answer_for_a_moment_is_not_lost(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_out(*arguments: object, **options: object) -> None:
        raise TimeoutError("timed out")

    agent = sweep.agent()
    monkeypatch.setattr(job_agent.socket, "create_connection", time_out)
    assert agent.check("node") is None
    later = time.monotonic() + 31
    monkeypatch.setattr(time, "monotonic", lambda: later)
    reason = agent.check("node")
    assert reason is not None
    assert "cannot be reached: timed out; if the login node has another address" in reason


@pytest.fixture
def _sigterm() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.usefixtures("_sigterm")
@pytest.mark.parametrize(
    ("is_script", "kind", "after"),
    [
        (False, "error", "interrupted"),
        (False, "crash", "interrupted"),
        (False, "returned", "returned"),
        (False, "pruned", "pruned"),
        (True, "returned", "interrupted"),
        (True, "unreported", "interrupted"),
    ],
)
def test_what_the_signal_for_the_whole_job_may_have_caused_is_no_failure(
    is_script: bool, kind: OutcomeKind, after: OutcomeKind
) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    termination = JobTermination(is_script)
    outcome = Outcome(0, 1, kind)
    assert termination.excuse(outcome) == outcome
    os.kill(os.getpid(), signal.SIGTERM)
    assert termination.excuse(outcome).kind == after


@pytest.mark.usefixtures("_sigterm")
def test_outside_a_slurm_job_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    JobTermination(False)
    assert signal.getsignal(signal.SIGTERM) is before
