"""Which failed attempts are retried, and when."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.controller.retries import RetryRules
from sweep.sweepfile.model import TrialRules


def rules(**keys: Any) -> RetryRules:
    return RetryRules(TrialRules.model_validate(keys))


@pytest.mark.parametrize("kind", ["crash", "oom", "lost_node"])
def test_crashes_are_retried_twice_by_default(kind: Any) -> None:
    assert rules().allow(kind, 1)
    assert rules().allow(kind, 2)


@pytest.mark.parametrize("kind", ["error", "timeout", "returned"])
def test_errors_of_the_objective_are_not_retried_by_default(kind: Any) -> None:
    assert not rules().allow(kind, 1)
    assert rules(retry_on=["error", "timeout"], retries=1).allow(kind, 1)
    assert not rules(retry_on=["error", "timeout"], retries=1).allow(kind, 2)


def test_a_lost_machine_does_not_count_against_the_retries() -> None:
    assert not rules().counts("lost_node")
    assert rules().allow("lost_node", 99)
    assert not rules(retry_on=["crash"]).allow("lost_node", 0)
    assert not rules().allow("crash", 3)


def test_the_delay_doubles_with_each_failure_up_to_a_maximum() -> None:
    slow = rules(backoff="5s")
    assert [slow.delay(failures) for failures in (1, 2, 3)] == [5, 10, 20]
    assert slow.delay(1000) == 600
    assert rules(backoff="1h").delay(3) == 3600
    assert rules().delay(3) == 0
