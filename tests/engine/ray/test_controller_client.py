"""The supervisor's connection to a controller that dies, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from ray.exceptions import ActorUnavailableError

from sweep.controller.controller import Controller
from sweep.engine.ray import controller_client
from sweep.engine.ray.controller_client import ControllerClient
from sweep.errors import SweepStopped
from sweep.messages import Assignment, AttemptResult, NextStep

STARTED = NextStep(None, Mock(spec=Assignment))
ENDED = NextStep(Mock(spec=AttemptResult), None)
NOTHING_YET = NextStep(None, None, ask_again_in=0.25)
DEATH = ActorUnavailableError("the actor died", b"0" * 16)


class Ray:
    """A controller whose calls have given results in turn, each after the one before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, results: list[Any]) -> None:
        self.restarts = 0
        self.answers: list[Any] = []
        self._results = results
        self._pending: list[tuple[Any, Callable[[Any], None]]] = []
        actor = Mock()
        actor.call.remote = lambda call: "call"
        actor.recover.remote = lambda running: "recover"
        cluster = Mock()
        cluster.on_node.return_value.remote.return_value = actor
        monkeypatch.setattr(controller_client.ray, "get", self._get)
        sweep = Mock()
        sweep.spec.storage = None
        sweep.spec.sampler.type = "gp"
        calls = Mock(add=lambda call, handler: self._pending.append((call, handler)))
        self._client = ControllerClient(sweep, 1, False, cluster, calls, list, self._on_restarted)

    def _get(self, call: str) -> Any:
        if call == "recover":
            return None
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def _on_restarted(self) -> None:
        self.restarts += 1

    def run(self) -> None:
        """Ask for the next step again and again, until there are no more results."""
        while self._results or self._pending:
            if not self._pending:
                self._client.call(Controller.next_step, self.answers.append, None)
            call, handle = self._pending.pop(0)
            handle(call)


def test_a_call_that_a_dead_controller_did_not_answer_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [DEATH, DEATH, STARTED, ENDED])
    ray.run()
    assert (ray.restarts, ray.answers) == (2, [STARTED, ENDED])


def test_a_controller_that_dies_each_time_it_samples_stops_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(monkeypatch, [STARTED, *[NOTHING_YET, NOTHING_YET, DEATH] * 99])
    with pytest.raises(SweepStopped, match=r"the controller died 5 times .* runs the sampler \(gp\)"):
        ray.run()
    assert ray.restarts == 4


@pytest.mark.parametrize("step", [STARTED, ENDED])
def test_a_controller_can_die_often_if_attempts_start_or_end_in_between(
    monkeypatch: pytest.MonkeyPatch, step: NextStep
) -> None:
    ray = Ray(monkeypatch, [*[DEATH, NOTHING_YET, DEATH, DEATH, DEATH, step] * 9, ENDED])
    ray.run()
    assert ray.restarts == 9 * 4


def test_deaths_with_long_lives_in_between_do_not_stop_a_sweep_of_long_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(controller_client, "_STABLE", 0.0)
    ray = Ray(monkeypatch, [STARTED, *[DEATH, NOTHING_YET] * 9, ENDED])
    ray.run()
    assert ray.restarts == 9
