"""Starting a sweep, or going on with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from sweep import launch
from sweep.engine.base import Engine
from tests.conftest import MakeSweep

CODE = "def train(trial):\n    return 1.0\n"


def test_of_two_different_sweeps_started_at_once_under_one_name_one_is_refused(
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
    with pytest.raises(sweep.InputError, match="this is not the sweep in"):
        sweep.run(slow, inline=True)
    again = sweep.run(fast, overrides={"name": "demo"}, inline=True)
    assert [list(trial.params) for trial in again.trials] == [["y"]] * 6


def test_a_folder_that_is_no_sweep_is_left_alone(make_sweep: MakeSweep, project: Path) -> None:
    (project / "runs" / "demo").mkdir(parents=True)
    (project / "runs" / "demo" / "precious").touch()
    for fresh in (False, True):
        with pytest.raises(sweep.InputError, match="is there already and is no sweep"):
            sweep.run(make_sweep(CODE), inline=True, fresh=fresh)
    assert (project / "runs" / "demo" / "precious").exists()


def test_fresh_refuses_what_it_cannot_move(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(CODE, storage=f"sqlite:///{project}/study.db")
    sweep.run(file, inline=True)
    with pytest.raises(sweep.InputError, match="--fresh cannot move the study 'demo' aside"):
        sweep.run(file, inline=True, fresh=True)
    assert len(sweep.run(file, inline=True).trials) == 6


def test_what_is_wrong_with_the_call_is_said_before_anything_is_moved(make_sweep: MakeSweep) -> None:
    file = make_sweep(CODE)
    sweep.run(file, inline=True)
    with pytest.raises(sweep.InputError):
        sweep.run(file, inline=True, fresh=True, overrides={"objective": "nowhere.py:train"})
    assert Path("runs/demo/journal.log").exists()
    assert not Path("runs/.old").exists()
