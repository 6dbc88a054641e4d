"""The curves of a sweep: those of the metric from its study, all others from its event files."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.analysis.curves import CurvePoint, curve_points, learning_curves
from sweep.analysis.view import SweepView

pytestmark = pytest.mark.usefixtures("project")


def open_view(name: str) -> SweepView:
    return SweepView.open(name, Path("runs"))


def run(objective: Any, **options: Any) -> SweepView:
    options = {"name": "demo", "n_trials": 3, "space": {"x": {"min": 0.0, "max": 1.0}}, **options}
    sweep.run(objective, inline=True, progress=False, **options)
    return open_view("demo")


def test_learning_curves_are_the_reports_of_the_study_by_trial_and_step() -> None:
    def train(trial: sweep.Trial) -> float:
        for step in (5, 10, 7):
            if trial.number != 1:
                trial.report(trial.params.x / step, step)
        return float(trial.params.x)

    view = run(train)
    xs = [view.params(trial)["x"] for trial in view.frozen_trials]
    assert learning_curves(view) == {
        number: [(step, xs[number] / step) for step in (5, 7, 10)] for number in (0, 2)
    }


def test_all_logged_metrics_are_curve_points_with_the_values_of_the_study() -> None:
    def train(trial: sweep.Trial) -> float:
        for step in range(3):
            trial.log({"val/loss": trial.params.x + step, "acc": math.nan if step == 1 else 0.1}, step)
        return float(trial.params.x) + 2

    view = run(train, n_trials=2, metric="val/loss", goal="minimize")
    points = list(curve_points(view))
    for trial in view.frozen_trials:
        own = [point for point in points if point.trial == trial.number]
        loss = [(point.step, point.value) for point in own if point.metric == "val/loss"]
        assert loss == sorted(trial.intermediate_values.items())
        assert {point.metric for point in own} == {"val/loss", "acc"}
        assert all(point.time is not None and point.time > 1e9 for point in own)
        assert {point.repeat for point in own} == {None}
        assert next(point.value for point in own if point.metric == "acc") == 0.1


def test_the_curve_of_a_second_attempt_does_not_contain_values_of_the_first() -> None:
    failed = []

    def train(trial: sweep.Trial) -> float:
        offset = 10.0 if not failed else 0.0
        for step in range(4 if not failed else 2):
            trial.report(offset + step / 3, step)
        if not failed:
            failed.append(trial.number)
            raise OSError("no")
        return 0.1

    view = run(train, n_trials=1, trial={"retries": 1, "retry_on": ["error"]})
    assert set(view.frozen_trials[0].intermediate_values.values()) != {0.0, 1 / 3}
    curve = learning_curves(view)[0]
    assert [step for step, _ in curve] == [0, 1]
    assert [value for _, value in curve] == pytest.approx([0.0, 1 / 3])


@pytest.mark.parametrize("pruner", ["median", "wilcoxon"])
def test_each_repeat_has_its_own_curve(pruner: str) -> None:
    def train(trial: sweep.Trial) -> float:
        for step in range(2):
            trial.report(trial.seed + step, step)
        return float(trial.seed + 1)

    view = run(train, n_trials=1, repeats={"seeds": [7, 8]}, pruner=pruner)
    assert [point[:5] for point in curve_points(view)] == [
        (0, f"seed-{seed}", "objective", step, float(seed + step)) for seed in (7, 8) for step in (0, 1)
    ]
    assert learning_curves(view) == {0: [(0, 7.0), (1, 8.0)]}


def test_without_event_files_the_study_has_the_curve_of_the_metric() -> None:
    def train(trial: sweep.Trial) -> float:
        trial.report(0.1, 0)
        return 0.1

    view = run(train, n_trials=1)
    shutil.rmtree(view.directory.trial(0).root)
    assert list(curve_points(view)) == [CurvePoint(0, None, "objective", 0, 0.1, None)]


def test_a_sweep_without_trials_has_no_curves(tmp_path: Path) -> None:
    view = run(lambda trial: 1.0, n_trials=1)
    view.directory.journal.unlink()
    view.directory.snapshot.unlink(missing_ok=True)
    assert learning_curves(open_view("demo")) == {}
    assert list(curve_points(open_view("demo"))) == []
