"""The Optuna interface of a trial, with a real controller in this process."""

from __future__ import annotations

import datetime
import enum
import json
import re
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.terminator import CrossValidationErrorEvaluator, report_cross_validation_scores

import sweep

Objective = Callable[[Any], Any]


@pytest.fixture
def run(project: Path) -> Callable[..., sweep.SweepResult]:
    """Runs an objective in this process; a failed trial is a failed test."""

    def run_once(objective: Objective, **options: Any) -> sweep.SweepResult:
        options = {"n_trials": 1, "inline": True, **options}
        result = sweep.run(objective, name="demo", **options)
        failed = [row for row in result.trials if row.state == "FAIL"]
        assert not failed, [row.reason for row in failed]
        return result

    return run_once


def test_a_trial_is_an_optuna_trial(run: Callable[..., sweep.SweepResult]) -> None:
    def objective(trial: sweep.Trial) -> float:
        assert isinstance(trial, optuna.trial.BaseTrial)
        before = datetime.datetime.now()
        assert before - datetime.timedelta(minutes=1) < trial.datetime_start <= before
        assert trial.number == 0
        assert trial.params == {}
        x = trial.suggest_float("x", 0, 1)
        n = trial.suggest_int("n", 1, 8, log=True)
        even = trial.suggest_int("even", 0, 10, step=2)
        assert even % 2 == 0
        kind = trial.suggest_categorical("kind", ("a", None, 3, False))
        assert trial.params == {"x": x, "n": n, "even": even, "kind": kind}
        assert json.loads(json.dumps(trial.params)) == trial.params
        assert list(trial.distributions) == ["x", "n", "even", "kind"]
        assert trial.distributions["x"] == optuna.distributions.FloatDistribution(0, 1)
        assert trial.suggest_float("x", 0, 1) == x
        assert 0 <= trial.suggest_uniform("u", 0, 1) <= 1
        assert 1e-3 <= trial.suggest_loguniform("l", 1e-3, 1) <= 1
        assert trial.suggest_discrete_uniform("d", 0, 1, 0.5) in (0, 0.5, 1)
        return x

    run(objective)


def test_the_suggested_parameters_are_a_copy_that_can_be_changed(
    run: Callable[..., sweep.SweepResult],
) -> None:
    def objective(trial: sweep.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        config = trial.params
        config["epochs"] = 3
        config.update(name="mine")
        config |= {"more": 1}
        assert config.pop("x") == x
        assert config == {"epochs": 3, "name": "mine", "more": 1}
        assert config.epochs == 3
        assert trial.params == {"x": x}
        return x

    run(objective)


def test_a_trial_has_the_directions_of_its_study(run: Callable[..., sweep.SweepResult]) -> None:
    """Pruning callbacks of other libraries use them, for example LightGBM's."""

    def objective(trial: sweep.Trial) -> float:
        assert trial.study.direction == optuna.study.StudyDirection.MAXIMIZE
        assert trial.study.directions == [optuna.study.StudyDirection.MAXIMIZE]
        assert trial.study.study_name == "demo"
        with pytest.raises(
            AttributeError, match="no 'best_value': the study lives in the sweep's controller"
        ):
            _ = trial.study.best_value
        return 1.0

    run(objective, direction="maximize")


def test_a_trial_is_not_a_fixed_trial(
    run: Callable[..., sweep.SweepResult],
) -> None:
    def objective(trial: sweep.Trial) -> float:
        assert not isinstance(trial, optuna.trial.FixedTrial)
        return 1.0

    run(objective)


def test_choices_that_optuna_cannot_store_are_stored_by_name(
    run: Callable[..., sweep.SweepResult],
) -> None:
    def objective(trial: sweep.Trial) -> float:
        kind = trial.suggest_categorical("kind", [dict, list])
        layers = trial.suggest_categorical("layers", [(64,), (128, 64)])
        assert kind in (dict, list)
        assert layers in ((64,), (128, 64))
        assert trial.params == {"kind": kind, "layers": layers}
        return 1.0

    result = run(objective, n_trials=3)
    for trial in result.study.trials:
        assert trial.params["kind"] in ("dict", "list")
        assert trial.params["layers"] in ("(64,)", "(128, 64)")


def test_numpy_numbers_are_python_numbers_in_the_study(run: Callable[..., sweep.SweepResult]) -> None:
    def objective(trial: sweep.Trial) -> float:
        choices = np.arange(1, 4)
        depth = trial.suggest_categorical("depth", choices)
        assert isinstance(depth, np.int64)
        assert depth in choices
        wide = trial.suggest_categorical("wide", [np.bool_(True), np.bool_(False)])
        assert isinstance(wide, np.bool_)
        return float(depth)

    result = run(objective, n_trials=3)
    for trial in result.study.trials:
        assert type(trial.params["depth"]) is int
        assert type(trial.params["wide"]) is bool
        assert trial.distributions["depth"].choices == (1, 2, 3)


@pytest.mark.parametrize(
    ("choices", "value", "meant"),
    [([True, False], 1, True), ([1, 2.5], 1.0, 1), ([0, False, True], False, False), ([0.0, 1], True, 1)],
)
def test_an_enqueued_value_selects_the_choice_that_is_equal_to_it(
    run: Callable[..., sweep.SweepResult], choices: list[Any], value: Any, meant: Any
) -> None:
    def objective(trial: sweep.Trial) -> float:
        found = trial.suggest_categorical("k", choices)
        assert found == meant
        assert type(found) is type(meant)
        return 1.0

    run(objective, enqueue=[{"k": value}])


class Optimizer(str, enum.Enum):
    ADAM = "adam"
    SGD = "sgd"


@pytest.mark.parametrize(
    "choices",
    [
        list(Optimizer),
        list(signal.Signals),
        [np.float64(0.1), np.float64(0.2)],
        [np.str_("a"), np.str_("b")],
        [float("nan"), 0.5, float("inf")],
    ],
)
def test_choices_are_recognized_after_a_resume(
    run: Callable[..., sweep.SweepResult], choices: list[Any]
) -> None:
    """The study on disk has strings and numbers instead of enum members and numpy values."""
    found: list[Any] = []

    def objective(trial: sweep.Trial) -> float:
        found.append(trial.suggest_categorical("k", choices))
        if len(found) % 2:
            raise KeyboardInterrupt  # the next run resumes the same trial
        return 1.0

    sampler = {"type": "random", "seed": 1}
    for count in range(1, 5):
        with pytest.raises(KeyboardInterrupt):
            run(objective, n_trials=count, sampler=sampler)
        run(objective, n_trials=count, sampler=sampler)
    places = [next(place for place, one in enumerate(choices) if one is each) for each in found]
    assert places[::2] == places[1::2]
    assert len(set(places)) > 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda trial: trial.suggest_categorical("k", [object()]),
            "no name that is the same in every process",
        ),
        (
            lambda trial: trial.suggest_categorical("k", [lambda x: x, lambda x: -x]),
            "two choices have the name '<lambda>'",
        ),
        (lambda trial: trial.suggest_categorical("k", ["dict", dict]), "two choices have the name 'dict'"),
        (lambda trial: trial.suggest_categorical("k", []), "choices"),
        (lambda trial: trial.suggest_categorical("k", ["\udc80"]), "not valid Unicode"),
        (lambda trial: trial.suggest_float(None, 0, 1), "name is None; it must be a string"),
        (lambda trial: trial.suggest_float("\udc80", 0, 1), "not valid Unicode"),
        (lambda trial: trial.suggest_float("x", 0, float("inf")), "x: Range exceeds valid bounds"),
        (lambda trial: trial.suggest_float("x", 2, 1), "low"),
        (lambda trial: trial.suggest_int("n", 0, 8, log=True), "low"),
        (lambda trial: trial.set_user_attr("sweep:x", 1), "are reserved"),
        (lambda trial: trial.set_constraint("c", float("nan")), "NaN"),
        (lambda trial: trial.set_constraint("c", "much"), "must be a number"),
    ],
)
def test_invalid_arguments_are_a_value_error(
    run: Callable[..., sweep.SweepResult], call: Objective, message: str
) -> None:
    def objective(trial: sweep.Trial) -> float:
        with pytest.raises(ValueError, match=message):
            call(trial)
        return 1.0

    run(objective)


def test_attributes_can_be_numpy_values(run: Callable[..., sweep.SweepResult]) -> None:
    def objective(trial: sweep.Trial) -> float:
        trial.set_user_attr("accuracy", np.float32(0.5))
        trial.set_user_attr("confusion", np.eye(2, dtype=int))
        trial.set_user_attr("params", {"a": [1, None]})
        assert trial.user_attrs["confusion"] == [[1, 0], [0, 1]]
        with pytest.raises(TypeError, match="the attribute 'model' cannot be stored"):
            trial.set_user_attr("model", object())
        return 1.0

    (row,) = run(objective).trials
    assert row.user_attrs == {"accuracy": 0.5, "confusion": [[1, 0], [0, 1]], "params": {"a": [1, None]}}


def test_suggest_methods_return_declared_parameters(run: Callable[..., sweep.SweepResult]) -> None:
    """The same objective works with a space in the sweep file."""

    def objective(trial: sweep.Trial) -> float:
        assert isinstance(trial, optuna.trial.BaseTrial)
        assert trial.suggest_float("lr", 0, 1) == trial.params.lr == 5.0
        assert trial.suggest_int("n", 0, 1) in (7, 8)
        with pytest.raises(ValueError, match="declares no parameter 'lrr' for this trial; did you mean 'lr'"):
            trial.suggest_float("lrr", 0, 1)
        return 1.0

    run(objective, space={"lr": 5.0, "n": {"values": [7, 8]}})


# Helpers of Optuna.


def test_helpers_of_optuna_store_system_attributes(run: Callable[..., sweep.SweepResult]) -> None:
    def objective(trial: sweep.Trial) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            report_cross_validation_scores(trial, [0.5, 0.75])
        # As the decorator track_in_mlflow of optuna-integration does.
        trial.storage.set_trial_system_attr(trial._trial_id, "mlflow_run_id", "abc")
        trial.storage.set_trial_user_attr(trial._trial_id, "mine", np.float64(3))
        assert trial.system_attrs == {"terminator:cv_scores": [0.5, 0.75], "mlflow_run_id": "abc"}
        assert trial.user_attrs == {"mine": 3.0}
        return 1.0

    trial = run(objective, n_trials=2).study.trials[1]
    assert trial.system_attrs["mlflow_run_id"] == "abc"
    assert trial.user_attrs["mine"] == 3.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = CrossValidationErrorEvaluator()
    assert evaluator.evaluate([trial], optuna.study.StudyDirection.MAXIMIZE) > 0


def test_an_artifact_is_uploaded_to_a_store_of_optuna(
    tmp_path: Path, run: Callable[..., sweep.SweepResult]
) -> None:
    store = FileSystemArtifactStore(tmp_path)
    model = tmp_path / "model.txt"
    model.write_text("weights")

    def objective(trial: Any) -> float:
        upload_artifact(artifact_store=store, file_path=str(model), study_or_trial=trial)
        return 0.0

    study = run(objective, n_trials=1).study
    (artifact,) = get_all_artifact_meta(study.trials[0], storage=study._storage)
    assert artifact.filename == "model.txt"
    with store.open_reader(artifact.artifact_id) as file:
        assert file.read() == b"weights"


def test_what_only_the_study_knows_is_an_error_that_names_the_way(
    run: Callable[..., sweep.SweepResult],
) -> None:
    def objective(trial: sweep.Trial) -> float:
        with pytest.raises(AttributeError, match=r"no relative_params: .*; use trial\.params"):
            _ = trial.relative_params
        with pytest.raises(AttributeError, match=r"trial\.storage has no 'get_trial': .*result's study"):
            trial.storage.get_trial(0)
        with pytest.raises(ValueError, match="attributes of this trial only"):
            trial.storage.set_trial_system_attr(trial._trial_id + 1, "key", 1)
        with pytest.raises(ValueError, match="names that begin with 'sweep:' are reserved"):
            trial.storage.set_trial_system_attr(trial._trial_id, "sweep:key", 1)
        with pytest.raises(
            AttributeError, match=r"trial\.study has no 'stop': .*rules of stop or a callback"
        ):
            trial.study.stop()
        return 1.0

    run(objective)


def test_every_public_attribute_of_optunas_trial_exists(run: Callable[..., sweep.SweepResult]) -> None:
    names = [name for name in dir(optuna.trial.Trial) if not name.startswith("_")]
    names += ["study", "storage", "_trial_id"]

    def objective(trial: sweep.Trial) -> float:
        missing = [name for name in names if not hasattr(trial, name)]
        assert missing == ["relative_params"]
        return 1.0

    run(objective)


# A declared space, whose objective suggests other values.

DECLARED = {
    "lr": {"min": 1e-4, "max": 0.1, "log": True},
    "layers": {"min": 1, "max": 3},
    "optimizer": {"values": ["sgd", "adam"]},
    "width": {"values": [16, 32]},
    "epochs": 8,
}


@pytest.mark.parametrize(
    ("suggest", "note"),
    [
        (lambda t: t.suggest_float("lr", 1e-4, 0.1, log=True), None),
        (
            lambda t: t.suggest_float("lr", 1e-5, 0.1),
            "the objective suggests lr from 1e-05 to 0.1, but the sweep declares it from 0.0001 to 0.1, "
            "which is what counts",
        ),
        (lambda t: t.suggest_int("layers", 1, 3), None),
        (lambda t: t.suggest_int("layers", 2, 3), "suggests layers from 2 to 3, .* from 1 to 3"),
        (lambda t: t.suggest_categorical("optimizer", ["adam", "sgd"]), None),
        (
            lambda t: t.suggest_categorical("optimizer", ["adam", "lion"]),
            "suggests optimizer as one of adam, lion, .* as one of sgd, adam",
        ),
        (lambda t: t.suggest_int("width", 8, 64), None),
        (lambda t: t.suggest_int("width", 8, 24), "suggests width from 8 to 24, .* as one of 16, 32"),
        (lambda t: t.suggest_int("epochs", 1, 10), None),
        (lambda t: t.suggest_int("epochs", 10, 20), "suggests epochs from 10 to 20, .* as one of 8"),
        (lambda t: t.suggest_categorical("lr", [0.1]), "suggests lr as one of 0.1, .* from 0.0001 to 0.1"),
    ],
)
def test_bounds_that_a_declared_space_overrides_are_noted_once(
    project: Path, capsys: pytest.CaptureFixture[str], suggest: Objective, note: str | None
) -> None:
    def objective(trial: sweep.Trial) -> float:
        suggest(trial)
        return 1.0

    sweep.run(objective, space=DECLARED, n_trials=3, inline=True, name="demo", progress=True)
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    notes = [line for line in notes if "objective suggests" in line]
    assert len(notes) == (note is not None), notes
    assert all(re.search(str(note), line) for line in notes)


def test_a_declared_number_is_never_rounded_for_the_objective(project: Path) -> None:
    def objective(trial: sweep.Trial) -> float:
        with pytest.raises(ValueError, match=r"n is \d.* here, and the objective suggests a whole number"):
            trial.suggest_int("n", 0, 10)
        with pytest.raises(ValueError, match=r"k is 'a' here, and the objective suggests a number"):
            trial.suggest_float("k", 0, 10)
        return float(trial.suggest_int("m", 0, 10))

    space = {"n": {"min": 0.5, "max": 0.75}, "k": "a", "m": {"values": [2.0]}}
    result = sweep.run(objective, space=space, n_trials=1, inline=True, progress=False)
    assert result.best_value == 2.0
