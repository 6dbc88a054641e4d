"""When a sweep has done enough."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.core.stop import StopRules
from sweep.spec.model import Metric, Stop

MINIMIZE = Metric(name="loss", goal="minimize")
MAXIMIZE = Metric(name="accuracy", goal="maximize")


@pytest.mark.parametrize(
    ("stop", "metric", "grid", "state", "rule"),
    [
        ({}, MINIMIZE, None, (10**6, 0.0, 1e9), None),
        ({"trials": 3}, MINIMIZE, None, (2, 0.0, 0.0), None),
        ({"trials": 3}, MINIMIZE, None, (3, None, 0.0), "trials"),
        ({"trials": 9}, MINIMIZE, 6, (6, 0.0, 0.0), "grid"),
        ({"hours": 0.5}, MINIMIZE, None, (0, None, 1799.0), None),
        ({"hours": 0.5}, MINIMIZE, None, (0, None, 1800.0), "hours"),
        ({"target": 0.1}, MINIMIZE, None, (1, 0.11, 0.0), None),
        ({"target": 0.1}, MINIMIZE, None, (1, 0.1, 0.0), "target"),
        ({"target": 0.9}, MAXIMIZE, None, (1, 0.89, 0.0), None),
        ({"target": 0.9}, MAXIMIZE, None, (1, 0.95, 0.0), "target"),
        ({"target": 0.9, "trials": 1}, MAXIMIZE, None, (0, None, 0.0), None),
    ],
)
def test_a_rule_is_reached_or_not(
    stop: dict[str, Any], metric: Metric, grid: int | None, state: tuple[Any, ...], rule: str | None
) -> None:
    assert StopRules(Stop(**stop), metric, grid).reached(*state) == rule


def test_the_number_of_trials_is_the_smaller_of_grid_and_wish() -> None:
    assert StopRules(Stop(trials=9), MINIMIZE, 6).total == 6
    assert StopRules(Stop(trials=5), MINIMIZE, 6).total == 5
    assert StopRules(Stop(), MINIMIZE, None).total is None
