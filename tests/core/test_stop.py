"""When a sweep has done enough."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.core.stop import Standing, StopRules
from sweep.space import SearchSpace
from sweep.spec import SweepSpec

MINIMIZE, MAXIMIZE = "minimize", "maximize"


def rules(stop: dict[str, Any], goal: str = MINIMIZE, grid: int | None = None) -> tuple[StopRules, SweepSpec]:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": goal},
            "parameters": {"x": {"min": 1, "max": grid or 9}},
            "sampler": "grid" if grid else "tpe",
            "stop": stop,
        }
    )
    return StopRules(spec, SearchSpace.of(spec)), spec


@pytest.mark.parametrize(
    ("stop", "goal", "grid", "state", "rule"),
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
    stop: dict[str, Any], goal: str, grid: int | None, state: tuple[Any, ...], rule: str | None
) -> None:
    found, spec = rules(stop, goal, grid)
    finished, best, elapsed = state
    assert found.reached(Standing(spec.metric, finished=finished, best=best), 0, elapsed) == rule


def test_failures_and_a_plateau_are_counted() -> None:
    found, spec = rules({"failures": 2, "plateau": 3})
    assert found.reached(Standing(spec.metric, failed=1, since_best=2), 0, 0.0) is None
    assert found.reached(Standing(spec.metric, failed=2), 0, 0.0) == "failures"
    assert found.reached(Standing(spec.metric, since_best=3), 0, 0.0) == "plateau"


def test_trials_that_repeat_others_do_not_count() -> None:
    found, spec = rules({"trials": 3})
    assert found.reached(Standing(spec.metric, finished=3), 1, 0.0) is None


def test_the_number_of_trials_is_the_smaller_of_grid_and_wish() -> None:
    assert rules({"trials": 9}, grid=6)[0].total == 6
    assert rules({"trials": 5}, grid=6)[0].total == 5
    assert rules({})[0].total is None
