"""Several goals, and limits on metrics, with a Controller, without Ray."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.messages import Outcome
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

LIMITED = [
    {"name": "acc", "goal": "maximize"},
    {"name": "latency_ms", "constraint": "<= 20"},
]
TWO = [{"name": "acc", "goal": "maximize"}, {"name": "ms", "goal": "minimize", "constraint": "< 50"}]


def make_spec(metrics: Any, **stop: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metrics": metrics,
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "stop": {"trials": 50, **stop},
        }
    )


def run(controller: Controller, *trials: dict[str, float] | None) -> None:
    """Trials that return these metrics; None is a trial that raises an exception."""
    for metrics in trials:
        assignment = controller.next_step(None).assignment
        assert assignment is not None
        kind, value = ("error", None) if metrics is None else ("returned", metrics.get("acc"))
        outcome = Outcome(assignment.number, assignment.attempt, kind, value, metrics or {})  # type: ignore[arg-type]
        assert controller.finish(outcome) is not None


def view(spec: SweepSpec, directory: SweepDirectory) -> SweepView:
    directory.spec.write_text(spec.to_yaml())
    return SweepView(directory)


def test_the_best_trial_is_within_the_limit(directory: SweepDirectory) -> None:
    spec = make_spec(LIMITED)
    run(
        Controller(spec, directory, slots=1),
        {"acc": 0.9, "latency_ms": 30.0},
        {"acc": 0.7, "latency_ms": 20.0},
        {"acc": 0.8, "latency_ms": 20.1},
        {"acc": 0.6, "latency_ms": 1.0},
    )
    seen = view(spec, directory)
    assert seen.best is not None
    assert seen.best.number == 1
    assert [row.feasible for row in seen.rows()] == [False, True, False, True]
    assert [row.state for row in seen.rows()] == ["COMPLETE"] * 4


def test_without_a_trial_within_the_limit_there_is_no_best(directory: SweepDirectory) -> None:
    spec = make_spec(LIMITED)
    run(Controller(spec, directory, slots=1), {"acc": 0.9, "latency_ms": 30.0})
    assert view(spec, directory).best is None


def test_several_goals_have_a_pareto_front_within_the_limits(directory: SweepDirectory) -> None:
    spec = make_spec(TWO)
    run(
        Controller(spec, directory, slots=1),
        {"acc": 0.9, "ms": 40.0},  # in the front
        {"acc": 0.8, "ms": 45.0},  # worse than the first in both
        {"acc": 0.7, "ms": 10.0},  # in the front
        {"acc": 0.99, "ms": 50.0},  # exceeds the limit
        {"acc": 0.9, "ms": 40.0},  # the same as the first
        {"acc": 0.7, "ms": 11.0},  # worse than the third in one
    )
    seen = view(spec, directory)
    assert [trial.number for trial in seen.front] == [0, 2, 4]
    rows = seen.rows()
    assert rows[0].values == (0.9, 40.0)
    assert [row.feasible for row in rows] == [True, True, True, False, True, True]


@pytest.mark.parametrize("metrics", [LIMITED, TWO])
def test_a_trial_with_a_missing_metric_fails_and_a_similar_name_is_suggested(
    directory: SweepDirectory, metrics: Any
) -> None:
    spec = make_spec(metrics)
    missing = metrics[1]["name"]
    run(Controller(spec, directory, slots=1), {"acc": 0.9, f"{missing}_": 3.0})
    (row,) = view(spec, directory).rows()
    assert row.state == "FAIL"
    assert row.reason == f"the metric {missing!r} was never logged; did you mean '{missing}_'?"


def test_a_plateau_continues_after_a_resume(directory: SweepDirectory) -> None:
    spec = make_spec(LIMITED, plateau=3)
    good, beyond = {"acc": 0.5, "latency_ms": 1.0}, {"acc": 0.9, "latency_ms": 21.0}
    first = Controller(spec, directory, slots=1)
    run(first, good, good, beyond)
    assert first.progress().stopped_by is None
    first.close()
    resumed = Controller(spec, directory, slots=1)
    assert resumed.progress().stopped_by is None
    run(resumed, good)
    assert resumed.next_step(None).assignment is None
    assert resumed.progress().stopped_by == "plateau"


def test_failures_are_counted_across_a_resume(directory: SweepDirectory) -> None:
    spec = make_spec(LIMITED, failures=2)
    first = Controller(spec, directory, slots=1)
    run(first, None, {"acc": 0.5, "latency_ms": 1.0})
    first.close()
    resumed = Controller(spec, directory, slots=1)
    run(resumed, None)
    assert resumed.next_step(None).assignment is None
    assert resumed.progress().stopped_by == "failures"
