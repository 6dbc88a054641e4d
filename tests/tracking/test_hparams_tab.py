"""The HParams tab of a real TensorBoard, queried over HTTP."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import sweep
from tests.conftest import MakeSweep
from tests.tensorboard_client import hparams, metrics, status, tensorboard

MIXED = """
    import os, signal
    import sweep

    def train(trial):
        x = trial.params.x
        for step in range(4):
            trial.log({"loss": x + 1 / (step + 1), "extra": step * x}, step)
            if trial.number == 3 and step == 2:
                raise sweep.TrialPruned
        if trial.number == 1:
            raise ValueError("too bad")
        if trial.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number == 4:
            return float("nan")
        return {"loss": x, "latency": 2.5} if trial.number == 5 else x
"""

PARAMETERS: dict[str, Any] = {
    "x": {"min": 0.0, "max": 1.0},
    "lr": {"min": 1e-5, "max": 1e-1, "log": True},
    "layers": {"min": 1, "max": 12},
    "batch": {"values": [32, 64, 128]},
    "width": {"values": list(range(10, 130, 10))},
    "act": {"values": ["relu", "gelu"]},
    "flag": {"values": [True, False]},
    "mixed": {"values": [None, 0.1, "auto"]},
    "epochs": 4,
    "note": "same for all",
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> sweep.SweepResult:
    """A finished sweep with complete, failed, killed, pruned and NaN trials."""
    import textwrap

    import yaml

    folder = tmp_path_factory.mktemp("mixed")
    (folder / "mixed_objective.py").write_text(textwrap.dedent(MIXED))
    file = folder / "mixed.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "objective": "mixed_objective.py:train",
                "metric": {"name": "loss", "goal": "minimize"},
                "sampler": {"type": "random", "seed": 3},
                "parameters": PARAMETERS,
                "max_parallel": 2,
                "stop": {"trials": 8},
            },
            sort_keys=False,
        )
    )
    return sweep.run(file, runs=folder / "runs")


STATUS = {
    "COMPLETE": "STATUS_SUCCESS",
    "PRUNED": "STATUS_SUCCESS",
    "FAIL": "STATUS_FAILURE",
}


@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_a_finished_sweep_has_one_row_per_trial(mixed: sweep.SweepResult, fast: bool) -> None:
    with tensorboard(mixed.directory, fast) as board:
        rows = {row["name"]: row for row in board.wait_for_rows(8)}
    trials = {f"mixed/t{trial.number:04d}": trial for trial in mixed.trials}
    assert rows.keys() == trials.keys()
    for name, trial in trials.items():
        assert status(rows[name]) == STATUS[trial.state]
        shown = hparams(rows[name])
        assert shown.keys() == trial.params.keys()
        for key, value in trial.params.items():
            assert shown[key] == (str(value) if key == "mixed" else pytest.approx(value))
        declared = {tag: value for tag, value in trial.metrics.items() if tag in ("loss", "best/loss")}
        assert trial.duration_s is not None
        declared["time/hours"] = trial.duration_s / 3600
        assert metrics(rows[name]) == pytest.approx(declared, rel=1e-6, abs=2e-7)


@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_columns_have_their_types_and_domains(mixed: sweep.SweepResult, fast: bool) -> None:
    with tensorboard(mixed.directory, fast) as board:
        board.wait_for_rows(8)
        experiment = board.experiment()
    columns = {info["name"]: info for info in experiment["hparamInfos"]}
    assert columns.keys() == PARAMETERS.keys()
    types = {name: info["type"] for name, info in columns.items()}
    assert types == {
        **dict.fromkeys(["x", "lr", "layers", "batch", "width", "epochs"], "DATA_TYPE_FLOAT64"),
        **dict.fromkeys(["act", "mixed", "note"], "DATA_TYPE_STRING"),
        "flag": "DATA_TYPE_BOOL",
    }
    assert columns["lr"]["domainInterval"] == {"minValue": 1e-5, "maxValue": 0.1}
    assert columns["layers"]["domainInterval"] == {"minValue": 1.0, "maxValue": 12.0}
    assert columns["width"]["domainInterval"] == {"minValue": 10.0, "maxValue": 120.0}
    assert columns["batch"]["domainDiscrete"] == [32.0, 64.0, 128.0]
    assert columns["act"]["domainDiscrete"] == ["relu", "gelu"]
    assert columns["flag"]["domainDiscrete"] == [True, False]
    assert columns["mixed"]["domainDiscrete"] == ["None", "0.1", "auto"]
    assert columns["x"].get("differs")
    assert not columns["epochs"].get("differs")
    assert [info["name"]["tag"] for info in experiment["metricInfos"]] == ["loss", "best/loss", "time/hours"]


def test_the_curves_of_a_trial_are_in_its_run(mixed: sweep.SweepResult) -> None:
    with tensorboard(mixed.directory) as board:
        board.wait_for_rows(8)
        curve = board.scalars("trial-0000", "extra")
        best = board.scalars("trial-0000", "best/loss")
    x = mixed.trials[0].params["x"]
    assert curve == [(step, pytest.approx(step * x, rel=1e-6)) for step in range(4)]
    assert [value for _, value in best] == sorted((value for _, value in best), reverse=True)


@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_running_trials_have_rows(
    make_sweep: MakeSweep, project: Path, ray_cluster: None, fast: bool
) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            trial.report(0.5, 0)
            while not pathlib.Path("go").exists():
                time.sleep(0.05)
            return 0.25
        """,
        stop={"trials": 2},
        max_parallel=2,
    )
    thread = threading.Thread(target=sweep.run, args=(file,))
    thread.start()
    try:
        with tensorboard(project / "runs" / "demo", fast) as board:
            running = board.wait_for_rows(2)
            end = time.monotonic() + 120
            while any(metrics(row) == {} for row in running) and time.monotonic() < end:
                time.sleep(0.3)
                running = board.rows()
            (project / "go").touch()
            thread.join(180)
            end = time.monotonic() + 120
            while time.monotonic() < end and any(status(row) != "STATUS_SUCCESS" for row in board.rows()):
                time.sleep(0.3)
            ended = board.rows()
    finally:
        (project / "go").touch()
        thread.join(180)
    assert [status(row) for row in running] == ["STATUS_UNKNOWN"] * 2
    assert [metrics(row)["loss"] for row in running] == [0.5] * 2
    assert [status(row) for row in ended] == ["STATUS_SUCCESS"] * 2
    assert [metrics(row)["loss"] for row in ended] == [0.25] * 2
