"""`sweep init`: what it writes passes `sweep check`, and does what it says."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from sweep.objective.source.inspect import inspect_source
from sweep.sweepfile import load_spec
from tests.commands import call
from tests.conftest import REPOSITORY

FUNCTION = """
import sweep

def train(trial: sweep.Trial) -> float:
    for epoch in range(trial.params.epochs):
        trial.log({"val/loss": trial.params.lr * 2}, step=epoch)
        if trial.should_prune():
            raise sweep.TrialPruned
    return trial.params.lr
"""
SCRIPT = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--opt", choices=["sgd", "yes"], default="yes")
args = parser.parse_args()
print(json.dumps({"step": 0, "accuracy": args.lr if args.amp else 0.0}))
"""
CODE = {
    "a function": FUNCTION,
    "a script": SCRIPT,
    "a function that tells nothing": "def train(trial): ...\n",
    "a script that tells nothing": "print('hello')\n",
    "suggestions that cannot be": """
        def objective(trial):
            trial.suggest_float("a", 0.0, 1.0, log=True)
            trial.suggest_int("b", 9, 1)
            trial.suggest_categorical("c", [1, 1.0, True])
            trial.suggest_float("d: {e}", 1.0, 1.0)
            trial.suggest_float("# f", 1e-300, 1e300)
            return trial.suggest_int("g", 1, 2, step=5)
        """,
    "suggestions under conditions": """
        def objective(trial):
            name = trial.suggest_categorical("optimizer", ["sgd", "adam"])
            if name == "sgd":
                trial.suggest_float("momentum", 0.0, 0.9)
            odd = trial.suggest_categorical("odd", [1, True, None])
            if odd == 1:
                trial.suggest_float("dropout", 0.0, 0.9)
            if trial.number > 3:
                trial.suggest_float("beta", 0.0, 0.9)
            return 1.0
        """,
    "odd names": """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--yes", choices=["no", "1e-3", "a: b", "", "#"], default="no")
        parser.add_argument("--null", default="010")
        parser.add_argument("--x", type=float, default=0)
        parser.add_argument("--big", type=int, default=10**15)
        parser.add_argument("--token", required=True)
        print(wandb.log({"a\\nb": 1, " loss ": 2}))
        """,
}


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_what_is_written_passes_check(project: Path, code: str) -> None:
    (project / "train.py").write_text(textwrap.dedent(code))
    done = call("init", "train.py")
    assert "sweep check train.yaml" in done.stdout
    assert "sweep run train.yaml" in done.stdout
    call("check", "train.yaml")
    source = inspect_source("train.py")
    assert load_spec("train.yaml").is_define_by_run == source.in_optuna
    if source.in_optuna:  # the space that it offers instead, behind `#`
        text = Path("train.yaml").read_text().replace("parameters: define-by-run", "", 1)
        start = text.index("# parameters:")
        end = text.index("\n\n", start)
        declared = text[start:end].replace("\n# ", "\n").removeprefix("# ")
        Path("train.yaml").write_text(text[:start] + declared + text[end:])
        call("check", "train.yaml")
    assert load_spec("train.yaml").parameters.keys() == (source.parameters.keys() or {"x"})


OBJECTIVES = [file for file in (REPOSITORY / "objectives").glob("*.py") if "\ndef train(" in file.read_text()]


@pytest.mark.parametrize("file", sorted(OBJECTIVES), ids=lambda path: path.name)
def test_the_ready_made_objectives_get_valid_sweep_files(project: Path, file: Path) -> None:
    shutil.copy(file, project)
    call("init", f"{file.name}:train", "-o", "space.yaml")
    call("check", "space.yaml")


def test_guesses_are_marked_and_what_the_code_says_is_not(project: Path) -> None:
    (project / "train.py").write_text(SCRIPT)
    lines = call("init", "train.py", "-o", "-").stdout.splitlines()
    marked = {line.split(":")[0].strip(): "# guessed" in line for line in lines if not line.startswith("#")}
    assert marked["metric"]
    assert marked["lr"]
    assert not marked["amp"]
    assert not marked["opt"]
    assert not Path("train.yaml").exists()


def test_the_goals_of_a_study_with_several_are_taken_over(project: Path) -> None:
    (project / "train.py").write_text(
        "def objective(trial):\n"
        "    return trial.suggest_float('x', 0, 1), 1.0\n"
        "study = optuna.create_study(directions=['maximize', 'minimize'])\n"
        "study.optimize(objective)\n"
    )
    assert call("init", "train.py:objective").returncode == 0
    assert "the goals are those of create_study" in Path("train.yaml").read_text()
    assert [goal.goal for goal in load_spec("train.yaml").goals] == ["maximize", "minimize"]


def test_a_script_runs_with_the_file_that_was_written_for_it(project: Path) -> None:
    (project / "train.py").write_text(SCRIPT)
    call("init", "train.py")
    call("run", "train.yaml", "--inline", "--quiet", "-n", "2")
    assert "2 complete" in call("status", "train").stdout


def test_a_function_runs_with_the_file_that_was_written_for_it(project: Path) -> None:
    (project / "train.py").write_text(FUNCTION)
    call("init", "train.py:train")
    assert load_spec("train.yaml").metric.name == "val/loss"
    call("run", "train.yaml", "--inline", "--quiet", "-n", "2")


def test_conditions_are_written_and_those_that_cannot_be_told_are_marked(project: Path) -> None:
    (project / "train.py").write_text(textwrap.dedent(CODE["suggestions under conditions"]))
    text = call("init", "train.py", "-o", "-").stdout
    assert "#   momentum: {min: 0.0, max: 0.9, when: {optimizer: sgd}}\n" in text
    assert "#   beta: {min: 0.0, max: 0.9}" in text
    assert text.count("asked for under a condition: add when") == 1


def test_a_callable_that_cannot_be_read_runs_with_the_file_that_was_written_for_it(project: Path) -> None:
    (project / "made.py").write_text(
        "def make():\n    return lambda trial: trial.suggest_float('x', 0, 1)\ntrain = make()\n"
    )
    assert "nothing can be read of train" in call("init", "made.py:train").stdout
    call("run", "made.yaml", "--inline", "--quiet", "-n", "2")


def test_a_file_is_never_overwritten(project: Path) -> None:
    (project / "train.py").write_text(FUNCTION)
    (project / "train.yaml").write_text("mine")
    done = call("init", "train.py", status=2)
    assert "train.yaml: is there already" in done.stderr
    assert (project / "train.yaml").read_text() == "mine"
    call("init", "train.py", "-o", "other.yaml")
    assert call("init", "train.py", "-o", "no/such/folder.yaml", status=2).stderr.count("error: ") == 1


def test_a_file_whose_name_cannot_name_a_sweep_gets_another_one(project: Path) -> None:
    (project / "my train.py").write_text(FUNCTION)
    call("init", "my train.py")
    assert load_spec("my train.yaml").name == "my-train"


@pytest.mark.parametrize("target", ["missing.py", "train.py:f", "bad.py", "two.py", "train", ""])
def test_a_bad_target_is_one_clear_error(project: Path, target: str) -> None:
    (project / "train.py").write_text(FUNCTION)
    (project / "bad.py").write_text("def")
    (project / "two.py").write_text("def a(trial): ...\ndef b(trial): ...\n")
    assert call("init", target, status=2).stderr.count("error: ") == 1
