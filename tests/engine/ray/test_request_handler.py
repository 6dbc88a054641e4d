"""Requests of other processes to a sweep on Ray, without Ray."""

from __future__ import annotations

from unittest.mock import Mock

from sweep.engine.ray.request_handler import RequestHandler
from sweep.engine.ray.resources import WorkerResources
from sweep.engine.ray.worker_pool import Slot
from sweep.messages import STOPPED_BY_USER, Assignment
from sweep.system.directory import SweepDirectory


def test_a_trial_that_ends_while_it_is_stopped_does_not_run_again(directory: SweepDirectory) -> None:
    """Its slot has it until the controller has answered, and there is no attempt to kill any more."""
    slot = Slot(WorkerResources(1.0, 0), assignment=Mock(spec=Assignment, number=7))
    controller, kill, sweep = Mock(), Mock(), Mock(directory=directory)
    sweep.spec = Mock(repeats=None)
    handler = RequestHandler(sweep, controller, Mock(slots={slot}), Mock(), kill, lambda count: None)
    handler._stop_trial(7)
    (call,) = controller.call.call_args_list
    assert (call.args[0].__name__, call.args[2:]) == ("stop_trial", (7, STOPPED_BY_USER))
    kill.assert_called_once_with(slot, "stopped", STOPPED_BY_USER)
