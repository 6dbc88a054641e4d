"""A trial that reports one quantity and returns another: what the study has is what TensorBoard shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.tracking.read import read_scalars
from tests.conftest import MakeSweep
from tests.tensorboard_client import logged_metrics, tensorboard

AUC = {0: 0.75, 1: 0.875, 2: 0.8125}
CASES: dict[str, tuple[str, dict[str, dict[int, float]]]] = {
    "the last report": (
        "0.8125",
        {"accuracy": AUC, "best/accuracy": {0: 0.75, 1: 0.875, 2: 0.875}},
    ),
    "the best report": (
        "0.875",
        {"accuracy": {**AUC, 3: 0.875}, "best/accuracy": {0: 0.75, 1: 0.875, 2: 0.875, 3: 0.875}},
    ),
    "nothing": (
        "None",
        {"accuracy": AUC, "best/accuracy": {0: 0.75, 1: 0.875, 2: 0.875}},
    ),
    "something worse": (
        "0.5",
        {"reported/accuracy": AUC, "accuracy": {0: 0.5}, "best/accuracy": {0: 0.5}},
    ),
    "something better": (
        "{'accuracy': 0.9375}",
        {"reported/accuracy": AUC, "accuracy": {0: 0.9375}, "best/accuracy": {0: 0.9375}},
    ),
}
CODE = """
    def train(trial):
        for step, value in enumerate([0.75, 0.875, 0.8125]):
            trial.log({{"accuracy": value, "other": step}}, step)
        return {returned}
"""


def run(make_sweep: MakeSweep, code: str, goal: str = "maximize", **keys: Any) -> sweep.SweepResult:
    metric = {"name": "accuracy", "goal": goal}
    return sweep.run(make_sweep(code, metric=metric, stop={"trials": 1}, **keys), inline=True)


@pytest.mark.parametrize(("returned", "curves"), CASES.values(), ids=CASES)
def test_a_curve_and_its_best_value_are_of_one_quantity(
    make_sweep: MakeSweep, returned: str, curves: dict[str, dict[int, float]]
) -> None:
    (trial,) = run(make_sweep, CODE.format(returned=returned)).trials
    scalars = read_scalars(trial.directory)
    assert scalars.pop("other") == {0: 0.0, 1: 1.0, 2: 2.0}
    assert scalars == curves
    last = {tag: list(curve.values())[-1] for tag, curve in curves.items()}
    assert trial.value == last["accuracy"]
    assert trial.metrics == {
        "accuracy": last["accuracy"],
        "best/accuracy": last["best/accuracy"],
        "other": 2.0,
    }


@pytest.mark.process
@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_the_columns_have_the_value_of_the_study(make_sweep: MakeSweep, fast: bool) -> None:
    result = run(make_sweep, CODE.format(returned="0.5"), goal="minimize")
    assert result.best_value == 0.5
    with tensorboard(result.directory, fast) as board:
        (row,) = board.wait_for_rows(1)
        assert logged_metrics(row) == {"accuracy": 0.5, "best/accuracy": 0.5}
        assert board.scalars("trial-0000", "accuracy") == [(0, 0.5)]
        assert board.scalars("trial-0000", "reported/accuracy") == list(AUC.items())


def test_reports_of_all_attempts_have_the_other_tag(make_sweep: MakeSweep) -> None:
    """The second attempt resumes after step 1, and none of its files is left with both quantities."""
    code = """
        def train(trial):
            checkpoint = trial.checkpoint.latest()
            first = checkpoint.step + 1 if checkpoint else 0
            for step in range(first, 4):
                trial.report(0.75 + step / 64, step)
                with trial.checkpoint.save(step):
                    pass
                if step == 1 and not checkpoint:
                    raise ValueError
            return 0.5
    """
    (trial,) = run(make_sweep, code, trial={"retries": 1, "retry_on": ["error"]}).trials
    assert trial.attempts == 2
    assert read_scalars(trial.directory) == {
        "reported/accuracy": {step: 0.75 + step / 64 for step in range(4)},
        "accuracy": {0: 0.5},
        "best/accuracy": {0: 0.5},
    }
    assert trial.metrics == {"accuracy": 0.5, "best/accuracy": 0.5}


def test_the_row_of_a_trial_with_repeats_has_means_of_what_they_returned(make_sweep: MakeSweep) -> None:
    code = """
        def train(trial):
            trial.report(0.75, 0)
            return 0.25 if trial.repeat else 0.5
    """
    (trial,) = run(make_sweep, code, repeats=2).trials
    assert trial.metrics == {"accuracy": 0.375, "best/accuracy": 0.375}
    assert trial.value == 0.375


def test_other_returned_metrics_are_not_mixed_with_their_curves(make_sweep: MakeSweep) -> None:
    code = """
        def train(trial):
            for step in range(2):
                trial.log({"accuracy": 0.5 + step / 4, "loss": 2.0 - step}, step)
            return {"accuracy": 0.75, "loss": 8.0}
    """
    (trial,) = run(make_sweep, code).trials
    scalars = read_scalars(Path(trial.directory))
    assert scalars["accuracy"] == {0: 0.5, 1: 0.75}
    assert scalars["reported/loss"] == {0: 2.0, 1: 1.0}
    assert list(scalars["loss"].values()) == [8.0]
    assert trial.metrics == {"accuracy": 0.75, "best/accuracy": 0.75, "loss": 8.0}
