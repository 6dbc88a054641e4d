"""Launching and resuming a sweep."""

from __future__ import annotations

import signal
from pathlib import Path
from unittest.mock import Mock

import pytest

import sweep
from sweep import launch, operations
from sweep.analysis.view import SweepView
from sweep.engine.base import Engine
from sweep.engine.inline import InlineEngine
from sweep.engine.observer import Observer
from sweep.launch import LaunchOptions, RunInterrupted
from sweep.messages import AttemptResult
from sweep.space import SearchSpace
from sweep.sweepfile import load_spec
from sweep.system.directory import SweepDirectory
from sweep.system.durable import write_private
from tests.conftest import MakeSweep

CODE = "def train(trial):\n    return 1.0\n"


def test_one_of_two_different_sweeps_started_under_one_name_is_refused(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = make_sweep(CODE)
    fast = make_sweep(CODE, name="other", parameters={"y": {"min": 0, "max": 9}})
    make_engine = launch._engine

    def make_engine_slowly(address: str | None, inline: bool) -> Engine:
        monkeypatch.setattr(launch, "_engine", make_engine)
        sweep.run(fast, overrides={"name": "demo"}, inline=True)  # while the first one starts its engine
        return make_engine(address, inline)

    monkeypatch.setattr(launch, "_engine", make_engine_slowly)
    with pytest.raises(sweep.InputError, match="it differs from the sweep in"):
        sweep.run(slow, inline=True)
    again = sweep.run(fast, overrides={"name": "demo"}, inline=True)
    assert [list(trial.params) for trial in again.trials] == [["y"]] * 6


@pytest.mark.parametrize(
    ("said", "in_environment", "joined"),
    [
        (None, None, None),
        (None, "10.0.0.1:6379", "10.0.0.1:6379"),
        ("auto", "10.0.0.1:6379", "auto"),
        ("local", "10.0.0.1:6379", None),
        (None, "local", None),
        (None, "", None),
    ],
)
def test_the_cluster_of_ray_address_is_joined_unless_an_address_is_given(
    make_sweep: MakeSweep,
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    in_environment: str | None,
    joined: str | None,
) -> None:
    asked: list[str | None] = []

    def note(address: str | None, inline: bool) -> Engine:
        asked.append(address)
        return InlineEngine()

    monkeypatch.setattr(launch, "_engine", note)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if in_environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", in_environment)
    sweep.run(make_sweep(CODE), address=said)
    assert asked == [joined]


def test_a_folder_that_is_not_a_sweep_is_left_alone(make_sweep: MakeSweep, project: Path) -> None:
    (project / "runs" / "demo").mkdir(parents=True)
    (project / "runs" / "demo" / "precious").touch()
    for fresh in (False, True):
        with pytest.raises(sweep.InputError, match="already exists and is not a sweep"):
            sweep.run(make_sweep(CODE), inline=True, fresh=fresh)
    assert (project / "runs" / "demo" / "precious").exists()


def test_a_sweep_that_was_killed_while_it_stored_its_password_starts(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = SweepDirectory.of(project / "runs", "demo").password
    file.parent.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_private(file, "secret")
    assert len(sweep.run(make_sweep(CODE), inline=True).trials) == 6


def test_fresh_is_refused_for_a_study_in_a_database(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(CODE, storage=f"sqlite:///{project}/study.db")
    sweep.run(file, inline=True)
    with pytest.raises(sweep.InputError, match="fresh=True cannot move the study 'demo' out of a database"):
        sweep.run(file, inline=True, fresh=True)
    assert len(sweep.run(file, inline=True).trials) == 6


def test_fresh_is_not_advised_for_a_study_in_a_database(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(CODE, storage=f"sqlite:///{project}/study.db")
    sweep.run(file, inline=True)
    with pytest.raises(sweep.InputError, match="it differs from the sweep in") as caught:
        sweep.run(file, inline=True, overrides={"metric.name": "other"})
    assert "for another sweep: sweep.run(" in str(caught.value)
    assert "fresh=True" not in str(caught.value)


def test_an_interruption_while_the_database_is_away_says_how_to_resume(
    make_sweep: MakeSweep, project: Path
) -> None:
    class Leave(Observer):
        def on_attempt_end(self, result: AttemptResult) -> None:
            Path("study.db").rename("away.db")
            Path("study.db").mkdir()
            signal.raise_signal(signal.SIGTERM)

    file = make_sweep(CODE, storage="sqlite:///study.db")
    options = LaunchOptions(Path("runs"), inline=True)
    spec = load_spec(file)
    with pytest.raises(RunInterrupted, match="the database does not answer") as caught:
        launch.launch(spec, Leave(), options, near=project)
    assert caught.value.exit_status == 143
    Path("study.db").rmdir()
    Path("away.db").rename("study.db")
    with pytest.raises(KeyboardInterrupt, match=r"resume with: sweep.run\("):
        sweep.run(file, inline=True, observer=Leave())


def test_wilcoxon_is_noted_unless_it_compares_the_seeds_of_repeats(make_sweep: MakeSweep) -> None:
    notes: list[str] = []

    class Notes(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)

    file = make_sweep(CODE, pruner="wilcoxon", stop={"trials": 1})
    sweep.run(file, inline=True, observer=Notes(), repeats=2, name="repeated")
    assert not notes
    sweep.run(file, inline=True, observer=Notes())
    assert "wilcoxon treats steps as instances" in notes[0]


def test_an_invalid_spec_is_refused_before_the_old_sweep_is_moved(make_sweep: MakeSweep) -> None:
    file = make_sweep(CODE)
    sweep.run(file, inline=True)
    with pytest.raises(sweep.InputError):
        sweep.run(file, inline=True, fresh=True, overrides={"objective": "nowhere.py:train"})
    assert Path("runs/demo/journal.log").exists()
    assert not Path("runs/.old").exists()


FAILS_FIRST = """
def train(trial):
    if trial.number < {failures}:
        raise RuntimeError
    return 1.0
"""


@pytest.mark.parametrize("failures", [2, 6])
def test_a_sweep_whose_trials_all_failed_can_be_replaced(make_sweep: MakeSweep, failures: int) -> None:
    file = make_sweep(FAILS_FIRST.format(failures=failures))
    sweep.run(file, inline=True)
    corrected = {"metric.name": "other"}
    if failures == 6:
        sweep.run(file, inline=True, overrides=corrected)
        assert [path.name[:5] for path in Path("runs/.old").iterdir()] == ["demo-"]
    else:
        with pytest.raises(sweep.InputError, match="it differs from the sweep in"):
            sweep.run(file, inline=True, overrides=corrected)


def test_a_failed_sweep_with_a_waiting_trial_is_not_replaced(make_sweep: MakeSweep) -> None:
    file = make_sweep(FAILS_FIRST.format(failures=6))
    sweep.run(file, inline=True)
    directory = SweepDirectory.of(Path("runs"), "demo")
    operations.resubmit(SweepView(directory), [0])
    with pytest.raises(sweep.InputError, match="it differs from the sweep in"):
        sweep.run(file, inline=True, overrides={"metric.name": "other"})


def test_a_renamed_directory_is_not_a_sweep_of_the_new_name(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(CODE)
    sweep.run(file, inline=True)
    (project / "runs/demo").rename(project / "runs/other")
    before = (project / "runs/other/journal.log").read_bytes()
    with pytest.raises(sweep.InputError, match="contains the sweep 'demo'"):
        sweep.run(file, name="other", n_trials=9, inline=True)
    assert (project / "runs/other/journal.log").read_bytes() == before
    (project / "runs/other").rename(project / "runs/demo")
    assert len(sweep.run(file, n_trials=7, inline=True).trials) == 7


def test_trials_whose_study_is_missing_are_not_overwritten(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(CODE, storage="sqlite:///study.db")
    sweep.run(file, inline=True)
    (project / "study.db").rename(project / "elsewhere.db")
    with pytest.raises(sweep.InputError, match=r"is missing from sqlite:///.*/study.db; restore it; for"):
        sweep.run(file, n_trials=9, inline=True)
    with pytest.raises(sweep.InputError, match=r"is missing from sqlite:///.*/study.db; restore it$"):
        _ = SweepView(SweepDirectory.of(Path("runs"), "demo")).counts
    assert not (project / "study.db").exists()
    (project / "elsewhere.db").replace(project / "study.db")
    assert len(sweep.run(file, n_trials=7, inline=True).trials) == 7


def test_a_sweep_that_has_started_is_resumed_with_a_constraint_that_a_new_one_would_be_refused_for(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {"h": {"values": [*range(20), None]}, "x": {"min": 0, "max": 1}}
    file = make_sweep(CODE, parameters=parameters, constraints=["h <= 1000"])
    with pytest.raises(sweep.InputError, match=r"constraints\.0: h <= 1000: does arithmetic with None"):
        sweep.run(file, inline=True)
    with monkeypatch.context() as earlier:
        earlier.setattr(launch, "check_constraints", lambda space: None)
        assert len(sweep.run(file, inline=True).trials) == 6
    resumed = sweep.run(file, overrides={"stop.trials": 8}, inline=True)
    assert len(resumed.trials) == 8
    assert None not in {trial.params["h"] for trial in resumed.trials}


def test_a_sweep_that_has_started_is_resumed_with_an_enqueued_entry_that_a_new_one_would_be_refused_for(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {
        "x": {"min": 0, "max": 1},
        "kind": {"values": ["a", "b", "c"]},
        "y": {"min": 0, "max": 9, "when": {"kind": ["a", "b"]}},
    }
    file = make_sweep(CODE, parameters=parameters, enqueue=[{"y": 3}])
    with pytest.raises(
        sweep.InputError, match=r"enqueue\.0\.y: y is active only if kind is 'a' or 'b'; give"
    ):
        sweep.run(file, inline=True)
    with monkeypatch.context() as earlier:  # a version that enqueued it as it stands
        earlier.setattr(SearchSpace, "_required", lambda space, values, entry: {})
        assert len(sweep.run(file, inline=True).trials) == 6
    assert len(sweep.run(file, inline=True).trials) == 6
    assert len(sweep.run(file, overrides={"stop.trials": 8}, inline=True).trials) == 8
    more = {"enqueue": [{"y": 3}, {"y": 4}], "stop.trials": 9}
    with pytest.raises(
        sweep.InputError, match=r"enqueue\.1\.y: y is active only if kind is 'a' or 'b'; give"
    ):
        sweep.run(file, overrides=more, inline=True)
    with pytest.raises(sweep.InputError, match=r"enqueue\.0\.y: y is active only if"):
        sweep.run(file, inline=True, fresh=True)
