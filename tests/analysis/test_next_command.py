"""The command that `explain` says is worth typing next."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

import sweep
from sweep.analysis.next_command import next_statement
from sweep.analysis.resuming import store_caller
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView
from sweep.caller import CommandLine, called_by
from sweep.operations import resubmit
from sweep.system.directory import SweepDirectory
from sweep.system.lock import SweepLock
from tests.conftest import MakeSweep

WORKS = "def train(trial):\n    return (trial.params.x - 0.5) ** 2\n"
FAILS = "def train(trial):\n    raise ValueError('no')\n"
SOMETIMES = "def train(trial):\n    assert trial.number % 3\n    return 1.0\n"
EARLY = "def train(trial):\n    return trial.number\n"
IMPROVES = "def train(trial):\n    return -trial.number\n"
SPACE = {
    "lr": {"min": 1e-4, "max": 0.1, "log": True},
    "kind": {"values": ["a", "b", "c"]},
    "layers": {"min": 1, "max": 8},
}


@pytest.fixture
def run(make_sweep: MakeSweep) -> Any:
    def run_sweep(code: str, **keys: Any) -> SweepView:
        file = make_sweep(code, **keys)
        directory = SweepDirectory.of(Path("runs"), "demo")
        sweep.run(file, inline=True)
        with called_by(CommandLine(["run", "demo.yaml", "-n", "6"])):
            store_caller(directory)
        return SweepView(directory)

    return run_sweep


def command(view: SweepView, statements: Sequence[Statement] = ()) -> str:
    return str(next_statement(view, statements).data["command"])


def test_a_sweep_with_few_trials_gets_more(run: Any) -> None:
    assert command(run(WORKS)) == "sweep run demo.yaml -n 40"


def test_a_sweep_that_improved_to_the_end_gets_more(run: Any) -> None:
    assert command(run(IMPROVES, stop={"trials": 24})) == "sweep run demo.yaml -n 48"


def test_a_sweep_that_has_found_its_best_is_read(run: Any) -> None:
    view = run(EARLY, stop={"trials": 24})
    assert command(view) == "sweep report demo"


def test_an_interrupted_sweep_is_resumed(run: Any) -> None:
    view = run(WORKS)
    view.directory.spec.write_text(view.directory.spec.read_text().replace("trials: 6", "trials: 9"))
    assert command(SweepView(view.directory)) == "sweep run demo.yaml -n 6"


def test_a_failed_trial_is_run_with_its_traceback_if_all_failed(run: Any) -> None:
    assert command(run(FAILS)) == "sweep debug demo --trial 0"


def test_failures_by_chance_are_run_again(run: Any) -> None:
    assert command(run(SOMETIMES)) == "sweep retry demo --failed"


@pytest.mark.parametrize("mistake", ["None + 1", "no_such_name", "trial.params.x.y", "__import__('nope')"])
def test_mistakes_in_the_code_are_not_run_again(run: Any, mistake: str) -> None:
    code = f"def train(trial):\n    return 1.0 if trial.number % 3 else {mistake}\n"
    assert command(run(code)) == "sweep debug demo --trial 0"


def test_failures_that_have_been_run_again_in_vain_are_not_chance(run: Any) -> None:
    fails = "def train(trial):\n    assert trial.params.x > 0.5\n    return 1.0\n"
    view = run(fails, sampler={"type": "random", "seed": 1}, stop={"trials": 8})
    failed = [trial.number for trial in view.frozen_trials if trial.state == TrialState.FAIL]
    assert command(view) == "sweep retry demo --failed"
    resubmit(view, failed)
    assert "retry" not in command(SweepView(view.directory)), "they are waiting"
    sweep.run(Path("demo.yaml"), inline=True)
    assert "retry" not in command(SweepView(view.directory))


def test_a_running_sweep_is_watched_and_stopped_if_all_fails(run: Any) -> None:
    for code, expected in ((WORKS, "sweep watch demo"), (FAILS, "sweep stop demo")):
        view = run(code)
        with SweepLock(view.directory.lock, "demo"):
            assert command(SweepView(view.directory)) == expected
        shutil.rmtree(view.directory.root)


@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [
        ("at_bound", {"name": "lr", "side": "upper"}, "parameters.lr.max=3.16"),
        ("at_bound", {"name": "lr", "side": "lower"}, "parameters.lr.min=3.16e-06"),
        ("at_bound", {"name": "layers", "side": "upper"}, "parameters.layers.max=11"),
        (
            "failing_choice",
            {"name": "kind", "value": "b", "share": 1.0},
            '\'parameters.kind.values=["a", "c"]\'',
        ),
        (
            "failing_range",
            {"name": "lr", "relation": ">", "value": 0.03, "share": 0.9},
            "parameters.lr.max=0.03",
        ),
        (
            "failing_range",
            {"name": "layers", "relation": ">=", "value": 7, "share": 0.9},
            "parameters.layers.max=6",
        ),
    ],
)
def test_another_search_space_is_another_sweep(run: Any, key: str, data: Any, expected: str) -> None:
    view = run(EARLY, parameters=SPACE, stop={"trials": 24})
    said = command(view, [Statement("health", key, "", "", data)])
    assert said == f"sweep run demo.yaml -n 6 --name demo-2 --set {expected}"


def test_the_command_with_another_search_space_is_a_valid_sweep(run: Any, project: Path) -> None:
    from sweep.sweepfile import load_spec
    from sweep.sweepfile.load import parse_override

    view = run(EARLY, parameters=SPACE, stop={"trials": 24})
    data = {"name": "kind", "value": "b", "share": 1.0}
    said = command(view, [Statement("health", "failing_choice", "", "", data)])
    changes = said.split("--set ")[1].strip("'")
    spec = load_spec(project / "demo.yaml", [parse_override(changes)])
    assert spec.parameters["kind"].values == ["a", "c"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"kind": {"values": ["a", "b", "c"]}},  # it is enqueued
        {"kind": {"values": ["a", "b", "c"], "default": "b"}},
        {"kind": {"values": ["a", "b", "c"]}, "beta": {"min": 0.0, "max": 1.0, "when": {"kind": "b"}}},
        {"kind": {"values": ["a", "b"], "probabilities": [1, 2]}},
        {"model": {"parameters": {"kind": {"values": ["a", "b"]}}}},
    ],
)
def test_no_command_is_made_up_for_an_entry_that_it_could_not_change(run: Any, parameters: Any) -> None:
    enqueue = [{"kind": "b"}] if len(parameters) == 1 and "kind" in parameters else []
    view = run(EARLY, parameters=parameters, stop={"trials": 24}, enqueue=enqueue)
    name = next(iter(view.params(view.frozen_trials[0])))
    data = {"name": name, "value": "b", "share": 1.0}
    assert command(view, [Statement("health", "failing_choice", "", "", data)]) == "sweep report demo"
