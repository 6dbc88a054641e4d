"""`sweep ls`: the sweeps in a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.cli.app import app
from sweep.errors import InputError
from sweep.system.directory import SweepDirectory
from sweep.system.lock import SweepLock
from tests.commands import sweep_command
from tests.terminal import Terminal

pytestmark = pytest.mark.usefixtures("project")


def run(
    name: str, trials: int, objective: Any = lambda trial: trial.params.x, **options: Any
) -> SweepDirectory:
    options = {"space": {"x": {"min": 0.0, "max": 1.0}}, **options}
    sweep.run(objective, name=name, n_trials=trials, inline=True, progress=False, **options)
    return SweepDirectory.of(Path("runs"), name)


def ls(*arguments: str) -> None:
    app(["ls", *arguments], standalone_mode=False)


def names(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    ls(*arguments)
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]


def test_each_sweep_has_a_line_with_its_state_best_trial_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    run("done", 2)
    directory = run("stopped", 3)
    directory.spec.write_text(directory.spec.read_text().replace("trials: 3", "trials: 9"))
    directory.usage.write_text('{"elapsed": 1800, "busy": 5400, "capacity": 9000, "until": 4e9}')
    capsys.readouterr()
    ls("--sort", "name")
    header, done, stopped = capsys.readouterr().out.splitlines()
    assert header.split() == ["sweep", "state", "trials", "slot", "hours", "age", "best"]
    assert done.split()[:3] == ["done", "finished", "2/2"]
    assert stopped.split()[:4] == ["stopped", "interrupted", "3/9", "1.50"]
    best = sweep.load("runs/done")
    assert f"objective={best.best_value:.4g} (trial {best.best_trial.number})" in done


def test_the_sweeps_are_sorted(capsys: pytest.CaptureFixture[str]) -> None:
    for name, trials in (("b", 3), ("a", 5), ("c", 1)):
        directory = run(name, trials)
        usage = {"elapsed": 1, "busy": 10 - trials, "capacity": 10, "until": 4e9}
        directory.usage.write_text(json.dumps(usage))
    directory.spec.write_text(directory.spec.read_text().replace("trials: 1", "trials: 2"))
    assert names(capsys) == ["c", "a", "b"]
    assert names(capsys, "--sort", "name") == ["a", "b", "c"]
    assert names(capsys, "--sort", "trials") == ["a", "b", "c"]
    assert names(capsys, "--sort", "cost") == ["c", "b", "a"]
    with SweepLock(SweepDirectory.of(Path("runs"), "b").lock, "b"):
        assert names(capsys, "--sort", "state") == ["b", "c", "a"]


def test_a_sweep_that_cannot_be_read_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    run("good", 1)
    damaged = run("damaged", 1)
    damaged.snapshot.unlink(missing_ok=True)
    damaged.journal.write_text("{\n[]\n")
    assert names(capsys) == ["good", "damaged"]
    ls("--json")
    good, bad = json.loads(capsys.readouterr().out)["sweeps"]
    assert (good["state"], bad["state"]) == ("finished", "unreadable")
    assert "damaged" in bad["error"]


def test_sweeps_without_trials_with_failures_only_and_with_several_goals_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(trial: sweep.Trial) -> float:
        raise ValueError

    empty = run("empty", 1)
    empty.journal.unlink()
    run("failed", 2, fail)
    metrics = [{"name": name, "goal": "minimize"} for name in ("loss", "size")]
    run("goals", 2, lambda trial: {"loss": trial.params.x, "size": 1 - trial.params.x}, metrics=metrics)
    capsys.readouterr()
    ls("--sort", "name")
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[:3:2] for line in lines] == [["empty", "0/1"], ["failed", "2/2"], ["goals", "2/2"]]
    assert "2 trials (Pareto front)" in lines[2]


def test_an_empty_folder_is_said_and_a_missing_one_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs").mkdir()
    ls()
    assert capsys.readouterr().out == "runs: contains no sweep; start one with: sweep run FILE\n"
    ls("--json")
    assert json.loads(capsys.readouterr().out) == {"version": 1, "sweeps": []}
    with pytest.raises(InputError, match="nowhere: no such folder"):
        ls("--runs", "nowhere")


def test_a_hostile_folder_name_is_shown_and_not_executed(capsys: pytest.CaptureFixture[str]) -> None:
    os.rename(run("demo", 1).root, "runs/[red]\x1b]0;x\x07\r<script>")
    capsys.readouterr()
    ls()
    shown = capsys.readouterr().out
    assert r"[red]\u001b]0;x\u0007 <script>" in shown
    assert shown.replace("\n", "").isprintable()


@pytest.mark.process
@pytest.mark.parametrize("command", ["ls", "status"])
def test_a_sweep_that_cannot_be_read_leaves_room_for_the_names_on_a_terminal(command: str) -> None:
    run("a-sweep-with-a-long-name", 1)
    directory = run("damaged", 1)
    directory.journal.write_bytes(b"not JSON\n" * 3)
    with Terminal(sweep_command(command), COLUMNS="80") as terminal:
        assert terminal.wait() == 0
    assert "a-sweep-with-a-long-name  finished" in terminal.text
    assert "damaged                   unreadable" in terminal.text
