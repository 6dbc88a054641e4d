"""Rows of trials with `parameters: define-by-run`, whose columns TensorBoard infers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweep
from tests.tensorboard_client import hparams, metrics, status, tensorboard

pytestmark = pytest.mark.process


def conditional(trial: Any) -> float:
    """Suggests one more parameter after its first report."""
    kind = trial.suggest_categorical("kind", ["linear", "deep"])
    x = trial.suggest_float("x", 0, 1)
    flag = trial.suggest_categorical("flag", [True, False])
    if kind == "deep":
        trial.suggest_int("layers", 2, 8)
    trial.report(x, 0)
    late = trial.suggest_categorical("late", [None, 0.5])
    trial.report(x / 2, 1)
    if trial.number == 3:
        raise ValueError("no luck")
    assert flag in (True, False)
    assert late in (None, 0.5)
    return x / 2


@pytest.mark.parametrize("fast", [True, False], ids=["data-server", "python-loader"])
def test_each_suggested_parameter_has_a_column(project: Path, fast: bool) -> None:
    result = sweep.run(
        conditional, name="demo", n_trials=8, sampler={"type": "random", "seed": 3}, inline=True
    )
    with tensorboard(result.directory, fast) as board:
        rows = {row["name"]: row for row in board.wait_for_rows(8)}
        experiment = board.experiment()
        curve = board.scalars("trial-0002", "objective")
    assert {row.params["kind"] for row in result.trials} == {"linear", "deep"}
    for trial in result.trials:
        row = rows[f"demo/t{trial.number:04d}"]
        shown = {**trial.params, "late": str(trial.params["late"])}
        assert hparams(row) == shown
        assert status(row) == ("STATUS_FAILURE" if trial.number == 3 else "STATUS_SUCCESS")
        assert metrics(row)["objective"] == pytest.approx(trial.params["x"] / 2)
    types = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert types == {
        "kind": "DATA_TYPE_STRING",
        "x": "DATA_TYPE_FLOAT64",
        "flag": "DATA_TYPE_BOOL",
        "layers": "DATA_TYPE_FLOAT64",
        "late": "DATA_TYPE_STRING",
    }
    assert [step for step, _ in curve] == [0, 1]


@pytest.mark.parametrize("fast", [True, False], ids=["data-server", "python-loader"])
def test_a_running_trial_has_a_row_from_its_first_report_on(project: Path, fast: bool) -> None:
    seen: dict[str, Any] = {}

    def wait(question: Callable[[], Any]) -> Any:
        end = time.monotonic() + 120
        while not (answer := question()) and time.monotonic() < end:
            time.sleep(0.3)
        return answer

    with tensorboard(project, fast) as board:

        def objective(trial: Any) -> float:
            x = trial.suggest_float("x", 0, 1)
            trial.report(x, 0)
            (seen["running"],) = wait(board.rows)
            trial.suggest_float("late", 0, 1)
            return float(x)

        result = sweep.run(objective, name="demo", n_trials=1, inline=True)
        (trial,) = result.trials
        assert status(seen["running"]) == "STATUS_UNKNOWN"
        assert hparams(seen["running"]) == {"x": pytest.approx(trial.params["x"])}
        assert wait(lambda: status(board.rows()[0]) == "STATUS_SUCCESS")
    with tensorboard(project, fast) as board:  # a later one sees all of it
        (row,) = board.wait_for_rows(1)
        assert hparams(row) == pytest.approx(trial.params)


def test_a_trial_that_never_reports_has_a_row_when_it_is_complete(project: Path) -> None:
    result = sweep.run(lambda trial: trial.suggest_float("x", 0, 1), name="demo", n_trials=2, inline=True)
    with tensorboard(result.directory) as board:
        rows = board.wait_for_rows(2)
    assert sorted(hparams(row)["x"] for row in rows) == pytest.approx(
        sorted(trial.params["x"] for trial in result.trials)
    )
