"""TensorBoard shows a trial with repeats as one row with their means, and one session per repeat."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from tests.conftest import MakeSweep
from tests.tensorboard_client import hparams, logged_metrics, metrics, tensorboard


@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_there_is_one_row_per_trial_with_the_means_of_its_repeats(
    make_sweep: MakeSweep, project: Path, ray_cluster: None, fast: bool
) -> None:
    file = make_sweep(
        """
        import os
        import sweep

        def train(trial):
            for step in range(3):
                trial.report(trial.params.x + trial.repeat + 2 - step, step)
            if trial.number == 1 and trial.repeat == 2:
                raise ValueError("no")
            if trial.number == 2 and trial.repeat == 0:
                raise sweep.TrialPruned
            if trial.number == 3 and trial.repeat == 1:
                os._exit(1)
            return trial.params.x + trial.repeat
        """,
        repeats=3,
        max_parallel=1,
        stop={"trials": 4},
        trial={"retries": 0},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "FAIL", "PRUNED", "FAIL"]
    with tensorboard(result.directory, fast) as board:
        rows = {row["name"]: row for row in board.wait_for_rows(4)}
        curve = board.scalars("trial-0000/seed-2", "loss")
    assert rows.keys() == {f"demo/t{number:04d}" for number in range(4)}
    success, failure = "STATUS_SUCCESS", "STATUS_FAILURE"
    statuses = [[success] * 3, [success, success, failure], [success], [success, failure]]
    for trial, expected in zip(result.trials, statuses, strict=True):
        row = rows[f"demo/t{trial.number:04d}"]
        sessions = {session["name"]: session for session in row["sessions"]}
        names = [f"trial-{trial.number:04d}/seed-{repeat}" for repeat in range(len(expected))]
        assert sorted(sessions) == names
        assert [sessions[name]["status"] for name in names] == expected
        assert hparams(row) == {"x": pytest.approx(trial.params["x"])}, "the seed is not a parameter"
        assert logged_metrics(row) == pytest.approx(trial.metrics, rel=1e-6)
    x = result.trials[0].params["x"]
    assert result.trials[0].value == pytest.approx(x + 1)
    assert metrics(rows["demo/t0000"])["loss"] == pytest.approx(x + 1)
    assert curve[:3] == [(step, pytest.approx(x + 4 - step, rel=1e-6)) for step in range(3)]
