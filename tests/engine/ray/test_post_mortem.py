"""Why an attempt ended whose worker did not return an outcome."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
import ray
from ray.exceptions import ActorUnavailableError, TaskUnschedulableError

from sweep.engine.ray.post_mortem import PostMortem
from sweep.engine.ray.resources import WorkerResources
from sweep.engine.ray.worker import FinishedAttempt
from sweep.engine.ray.worker_pool import Slot
from sweep.messages import Outcome


@pytest.mark.parametrize(("machines", "kind"), [({}, "lost_node"), ({"node": {}}, "crash")])
def test_a_worker_that_died_with_its_machine_was_lost(
    machines: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker of a machine that fails dies first, and Ray misses the machine seconds later."""
    outcomes: list[Outcome] = []
    post_mortem = PostMortem(
        Mock(machines_by_node=lambda: machines),
        Mock(),
        Mock(),
        Mock(),
        lambda slot, outcome: outcomes.append(outcome),
    )
    monkeypatch.setattr(ray, "get", Mock(side_effect=TaskUnschedulableError("the node is dead")))
    slot = Slot(WorkerResources(1, 0), node_id="node")
    post_mortem._on_cleaned_up(Outcome(3, 1, "crash", was_killed=True), slot, Mock())
    assert [outcome.kind for outcome in outcomes] == [kind]


@pytest.mark.parametrize(("attempt", "is_finished"), [(2, True), (1, False)])
def test_an_attempt_whose_answer_was_lost_has_the_result_that_its_worker_knows(
    attempt: int, is_finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Outcome] = []
    finished: list[FinishedAttempt] = []
    post_mortem = PostMortem(
        Mock(current_node=lambda: "node"),
        pool := Mock(),
        Mock(is_needed=lambda slot: False),
        lambda slot, found: finished.append(found),
        lambda slot, outcome: outcomes.append(outcome),
    )
    monkeypatch.setattr("sweep.engine.ray.post_mortem.clean_up_attempt", Mock(return_value=0))
    slot = Slot(WorkerResources(1, 0), node_id="node", worker=Mock())
    slot.assignment = Mock(number=3, attempt=2, repeat=0, label="")
    post_mortem.examine(slot, ActorUnavailableError("the connection", b"0" * 16))
    (_, _, handler), _ = pool.wait.call_args
    answer = FinishedAttempt(Outcome(3, attempt, "returned", 0.5), is_worker_spent=False, oom_kills=0)
    monkeypatch.setattr(ray, "get", Mock(return_value=answer))
    handler(slot, Mock())
    assert finished == [answer] * is_finished
    assert [outcome.kind for outcome in outcomes] == ["crash"] * (not is_finished)
