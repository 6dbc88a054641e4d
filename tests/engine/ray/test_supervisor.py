"""Decisions of the supervisor that depend on the state of a slot, without Ray."""

from __future__ import annotations

from unittest.mock import Mock

from sweep.engine.ray.resources import WorkerResources
from sweep.engine.ray.supervisor import Supervisor
from sweep.engine.ray.worker_pool import Slot
from sweep.messages import Assignment, RunningTrial
from sweep.tracking.hparams import Session


def test_the_attempt_of_a_stopped_trial_is_killed_once() -> None:
    """The clean-up after it, on another machine, can take longer than the time between two progress calls."""
    runs = [Assignment(number, 1, {}, Session({}, "", 0.0), 7) for number in range(2)]
    slots = [Slot(WorkerResources(1.0, 0), worker=Mock(), assignment=run) for run in runs]
    supervisor = Mock()
    supervisor._pool.slots = slots
    running = RunningTrial(1, 1, {}, 0.0, None, is_cancelled=True)
    Supervisor._kill_repeat(supervisor, running)
    supervisor._kill_attempt.assert_called_once()
    assert supervisor._kill_attempt.call_args.args[:2] == (slots[1], "stopped")
    slots[1].worker, slots[1].call = None, Mock(name="clean-up")
    Supervisor._kill_repeat(supervisor, running)
    supervisor._kill_attempt.assert_called_once()
