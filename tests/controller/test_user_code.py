"""Samplers, pruners and constraints can be slow: other processes write to the study meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome, Report
from sweep.study import attributes
from sweep.study.percentile_pruner import LastValuePercentilePruner
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.expressions import Expression
from sweep.system.directory import SweepDirectory


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "constraints": ["x <= 2"],
            "sampler": "random",
            "pruner": {"type": "median", "startup_trials": 1},
            **keys,
        }
    )


def assigned(controller: Controller) -> Assignment:
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    return assignment


def other_process(directory: SweepDirectory) -> optuna.Study:
    """The study as another Optuna opens it. It breaks a lock that is held for more than a second."""
    path = str(directory.journal)
    with pytest.warns(UserWarning, match="might be too small"):
        lock = JournalFileSymlinkLock(path, grace_period=1)
    return optuna.load_study(study_name="demo", storage=JournalStorage(JournalFileBackend(path, lock)))


USER_CODE = [
    (RandomSampler, "before_trial"),
    (RandomSampler, "infer_relative_search_space"),
    (RandomSampler, "sample_independent"),
    (RandomSampler, "after_trial"),
    (LastValuePercentilePruner, "prune"),
    (Expression, "holds"),
]


@pytest.mark.parametrize(("class_", "method"), USER_CODE, ids=lambda value: getattr(value, "__name__", value))
def test_another_process_can_write_while_slow_code_runs(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch, class_: type, method: str
) -> None:
    controller = Controller(make_spec(), directory, slots=1)
    original: Callable[..., Any] = getattr(class_, method)
    calls = 0

    def call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        assert not Path(f"{directory.journal}.lock").is_symlink()
        if calls <= 2:
            other = other_process(directory)
            other.set_user_attr(f"note {calls}", calls)
            other.enqueue_trial({"x": calls / 10})
        return original(*arguments)

    monkeypatch.setattr(class_, method, call)
    for step in range(4):
        run = assigned(controller)
        controller.should_prune(run.number, run.attempt, [Report(0, float(step))])
        controller.finish(Outcome(run.number, run.attempt, "returned", value=float(run.params["x"])))
    assert calls >= 2
    monkeypatch.undo()
    stored = optuna.load_study(
        study_name="demo", storage=JournalStorage(JournalFileBackend(str(directory.journal)))
    )
    assert {"note 1", "note 2"} <= stored.user_attrs.keys()
    assert [trial.number for trial in stored.trials] == list(range(len(stored.trials)))
    finished = [trial for trial in stored.trials if trial.state.is_finished()]
    assert len(finished) == 4
    assert all(trial.value == trial.params["x"] for trial in finished)
    asked = {trial.params.get("x") or trial.system_attrs["fixed_params"]["x"] for trial in stored.trials}
    assert {0.1, 0.2} <= asked
    assert [trial.params for trial in stored.trials] == [trial.params for trial in controller._study.trials]


def test_a_trial_whose_sampling_was_killed_is_sampled_on_resume_and_has_had_no_attempt(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = Controller(make_spec(), directory, slots=1)

    def kill(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RandomSampler, "sample_independent", kill)
    with pytest.raises(KeyboardInterrupt):
        controller.next_step(None)
    monkeypatch.undo()
    journal = directory.journal.read_text()
    year = str(datetime.now().year)  # when the trial was created
    directory.journal.write_text(journal.replace(f'"datetime_start":"{year}', '"datetime_start":"2020'))
    resumed = Controller(make_spec(), directory, slots=1)
    run = assigned(resumed)
    assert (run.number, run.attempt) == (0, 1)
    assert 0 <= run.params["x"] <= 1
    assert assigned(resumed).number == 1
    resumed.finish(Outcome(0, 1, "returned", value=1.0))
    assert resumed._study.trials[0].user_attrs[attributes.DURATION] < 3600
