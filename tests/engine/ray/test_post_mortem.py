"""Why an attempt ended whose worker did not return an outcome."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
import ray
from ray.exceptions import TaskUnschedulableError

from sweep.engine.ray.post_mortem import PostMortem
from sweep.engine.ray.resources import WorkerResources
from sweep.engine.ray.worker_pool import Slot
from sweep.messages import Outcome


@pytest.mark.parametrize(("machines", "kind"), [({}, "lost_node"), ({"node": {}}, "crash")])
def test_a_worker_that_died_with_its_machine_was_lost(
    machines: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker of a machine that fails dies first, and Ray misses the machine seconds later."""
    outcomes: list[Outcome] = []
    post_mortem = PostMortem(
        Mock(),
        Mock(machines_by_node=lambda: machines),
        Mock(),
        Mock(),
        lambda slot, outcome: outcomes.append(outcome),
    )
    monkeypatch.setattr(ray, "get", Mock(side_effect=TaskUnschedulableError("the node is dead")))
    slot = Slot(WorkerResources(1, 0), node_id="node")
    post_mortem._on_cleaned_up(Outcome(3, 1, "crash", was_killed=True), slot, Mock())
    assert [outcome.kind for outcome in outcomes] == [kind]
