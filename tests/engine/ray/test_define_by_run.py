"""Objectives of Optuna's tutorial, unchanged, on two workers of a real Ray."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import sweep
from tests.conftest import MakeSweep
from tests.tensorboard_client import hparams, status, tensorboard

TUTORIAL = Path(__file__).parent.parent.parent / "optuna_tutorial.py"
_GOALS = {
    "conditional": {"metric": {"name": "accuracy", "goal": "maximize"}},
    "multi_objective": {
        "metrics": [{"name": "v0", "goal": "minimize"}, {"name": "v1", "goal": "minimize"}],
    },
}


@pytest.fixture
def swept(project: Path, ray_cluster: None, request: pytest.FixtureRequest) -> optuna.Study:
    """The study of a tutorial objective after some trials on two workers, loaded by plain Optuna."""
    name = request.param
    trials = 6 if name == "conditional" else 16  # this one starts processes
    shutil.copy(TUTORIAL, "train.py")
    spec: dict[str, Any] = {
        "objective": f"train.py:{name}",
        "metric": {"name": "objective", "goal": "minimize"},
        "parameters": "define-by-run",
        "sampler": {"seed": 1},
        "pruner": "median" if name == "pruned" else "none",
        "max_parallel": 2,
        "resources": {"cpu": 1},
        "stop": {"trials": trials},
    }
    if name == "multi_objective":
        del spec["metric"]
    spec |= _GOALS.get(name, {})
    Path(f"{name}.yaml").write_text(yaml.safe_dump(spec))
    sweep.run(f"{name}.yaml")
    storage = JournalStorage(JournalFileBackend(f"runs/{name}/journal.log"))
    study = optuna.load_study(study_name=name, storage=storage)
    assert len(study.trials) == trials
    assert not [trial for trial in study.trials if trial.state == TrialState.FAIL]
    return study


def test_a_breakpoint_in_a_worker_is_an_error_that_says_how_to_debug(
    make_sweep: MakeSweep, ray_cluster: None
) -> None:
    """Ray's own hook would open a port and wait forever."""

    def objective(trial: sweep.Trial) -> float:
        breakpoint()
        return 1.0

    (row,) = sweep.run(objective, n_trials=1).trials
    assert row.state == "FAIL"
    assert str(row.reason).endswith("pass inline=True to sweep.run")
    result = sweep.run(make_sweep("def train(trial): breakpoint()", stop={"trials": 1}))
    command = f"run the trial with: sweep debug {result.directory} --trial 0"
    assert str(result.trials[0].reason).endswith(command)


def test_the_tensorboard_row_of_a_killed_trial_has_all_suggested_parameters(
    ray_cluster: None, project: Path
) -> None:
    def objective(trial: sweep.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)  # the row is written
        trial.suggest_int("late", 1, 5)
        tries = trial.directory / "tries"
        with tries.open("a") as file:
            file.write("x")
        if trial.number == 1 or len(tries.read_text()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    result = sweep.run(objective, name="demo", n_trials=2, trial={"retries": 1})
    assert [trial.state for trial in result.trials] == ["COMPLETE", "FAIL"]
    for fast in (True, False):
        with tensorboard(result.directory, fast) as board:
            rows = sorted(board.wait_for_rows(2), key=lambda row: str(row["name"]))
            assert [hparams(row) for row in rows] == [pytest.approx(trial.params) for trial in result.trials]
            assert [status(row) for row in rows] == ["STATUS_SUCCESS", "STATUS_FAILURE"]


@pytest.mark.parametrize("swept", ["quadratic"], indirect=True)
def test_a_single_parameter(swept: optuna.Study) -> None:
    assert swept.best_value == (swept.best_params["x"] - 2) ** 2


@pytest.mark.parametrize("swept", ["conditional"], indirect=True)
def test_conditional_parameters(swept: optuna.Study) -> None:
    asked = {frozenset(trial.params) for trial in swept.trials}
    assert asked == {frozenset({"classifier", "svc_c"}), frozenset({"classifier", "rf_max_depth"})}
    assert swept.best_value > 0.9


@pytest.mark.parametrize("swept", ["loops"], indirect=True)
def test_parameters_in_a_loop(swept: optuna.Study) -> None:
    for trial in swept.trials:
        assert len(trial.params) == 2 + trial.params["n_layers"]


@pytest.mark.parametrize("swept", ["pruned"], indirect=True)
def test_pruning(swept: optuna.Study) -> None:
    states = [trial.state for trial in swept.trials]
    assert states.count(TrialState.PRUNED) > 0
    for trial in swept.trials:
        if trial.state == TrialState.PRUNED:
            assert trial.last_step is not None
            assert trial.value == trial.intermediate_values[trial.last_step]
        else:
            assert len(trial.intermediate_values) == 100


@pytest.mark.parametrize("swept", ["multi_objective"], indirect=True)
def test_several_objectives(swept: optuna.Study) -> None:
    for trial in swept.trials:
        x, y = trial.params["x"], trial.params["y"]
        assert trial.values == [4 * x**2 + 4 * y**2, (x - 5) ** 2 + (y - 5) ** 2]
    assert swept.best_trials


@pytest.mark.parametrize("swept", ["constrained"], indirect=True)
def test_constraints_and_attributes(swept: optuna.Study) -> None:
    for trial in swept.trials:
        x, y = trial.params["x"], trial.params["y"]
        assert trial.user_attrs == {"sum": x + y}
        assert trial.constraints == {"c0": (x - 5) ** 2 + y**2 - 25}
