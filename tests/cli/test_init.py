"""`sweep init`: the file that it writes passes `sweep check`, or one message names what is missing."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from pathlib import Path

import pytest

from sweep.errors import InputError
from sweep.objective.source_reader import read_source
from sweep.sweepfile import load_spec
from tests.commands import call
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.process


FUNCTION = """
import sweep

def train(trial: sweep.Trial) -> float:
    for epoch in range(trial.params.epochs):
        trial.log({"val/loss": trial.params.lr * 2}, step=epoch)
        if trial.should_prune():
            raise sweep.TrialPruned
    return trial.params.lr
"""
OPTUNA = """
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    return x * trial.suggest_categorical("sign", [-1, 1])
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
    "an Optuna objective": OPTUNA,
    "a script": SCRIPT,
    "a function that says nothing": "def train(trial): ...\n",
    "a script that says nothing": "print('hello')\n",
    "a script with one known metric and no options": "import wandb\nwandb.log({'loss': 1})\n",
    "a script with examples only": """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("--lr", type=float, default=1e-3)
        """,
    "suggestions that cannot be": """
        def objective(trial):
            trial.suggest_float("a", 0.0, 1.0, log=True)
            trial.suggest_int("b", 9, 1)
            trial.suggest_categorical("c", [1, 1.0, True])
            trial.suggest_float("d: {e}", 1.0, 1.0)
            trial.suggest_float("# f", 1e-300, 1e300)
            trial.suggest_categorical("lines", ["a\\nb", "c"])
            return trial.suggest_int("g", 1, 2, step=5)
        """,
    "odd names": """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument("odd\\nposition")
        parser.add_argument("--yes", choices=["no", "1e-3", "a: b", "", "#"], default="no")
        parser.add_argument("--null", default="010")
        parser.add_argument("--lines", default="a\\nb: [")
        parser.add_argument("--x", type=float, default=0)
        parser.add_argument("--big", type=int, default=1000000000000000)
        parser.add_argument("--token", required=True)
        print(wandb.log({"a\\nb": 1, " loss ": 2, "# c": 3}))
        """,
}
MISSING = {
    "parameters: is missing": lambda text: re.sub(r"^# (?=parameters:|  )", "", text, flags=re.M),
    "metric: is missing": lambda text: re.sub(r"^# (?=metric:)", "", text, flags=re.M),
    "metric.goal: is missing": lambda text: re.sub(
        r"^metric: {(.*?)}", r"metric: {\1, goal: minimize}", text, flags=re.M
    ),
}
"""What `sweep check` can report about the file, and how the user completes it."""


def _error_of(file: Path) -> str:
    try:
        load_spec(file)
    except InputError as error:
        return str(error)
    return ""


def _fill_in(file: Path) -> list[str]:
    """Add what `sweep check` reports as missing until it passes; returns the reported keys in order."""
    missing: list[str] = []
    while message := _error_of(file):
        assert len(message.splitlines()) == 1
        assert call("check", file, status=2).stderr == f"error: {message}\n"
        missing.append(next(each for each in MISSING if each in message))
        assert len(missing) == len(set(missing))
        file.write_text(MISSING[missing[-1]](file.read_text()))
    call("check", file)
    return missing


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_a_written_file_passes_check_or_one_message_names_what_is_missing(project: Path, code: str) -> None:
    file = project / "train.yaml"
    (project / "train.py").write_text(textwrap.dedent(code))
    done = call("init", "train.py")
    assert "sweep check train.yaml" in done.stdout
    assert "sweep run train.yaml" in done.stdout
    source = read_source("train.py")
    assert _fill_in(file)[-1].startswith("metric"), "only the user knows its goal"
    assert load_spec(file).is_define_by_run == source.has_suggestions
    if source.parameters and not source.has_suggestions:
        assert load_spec(file).parameters.keys() == source.parameters.keys()


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_commented_out_entries_are_valid_too(project: Path, code: str) -> None:
    file = project / "train.yaml"
    (project / "train.py").write_text(textwrap.dedent(code))
    call("init", "train.py")
    text = MISSING["parameters: is missing"](file.read_text().replace("parameters: define-by-run", "#"))
    text, count = re.subn(r"^(# )?metric: .*", "metric: {name: loss, goal: minimize}", text, flags=re.M)
    file.write_text(text)
    call("check", file)
    source = read_source("train.py")
    assert count == 1
    assert load_spec(file).parameters.keys() == ({*source.parameters, *source.examples} or {"lr"})


OBJECTIVES = [file for file in (REPOSITORY / "objectives").glob("*.py") if "\ndef train(" in file.read_text()]


@pytest.mark.parametrize("file", sorted(OBJECTIVES), ids=lambda path: path.name)
def test_the_ready_made_objectives_get_valid_sweep_files(project: Path, file: Path) -> None:
    shutil.copy(file, project)
    call("init", f"{file.name}:train", "-o", "space.yaml")
    assert _fill_in(project / "space.yaml")


def test_options_of_a_script_are_commented_out_because_searching_them_is_a_guess(project: Path) -> None:
    (project / "train.py").write_text(SCRIPT)
    lines = call("init", "train.py", "-o", "-").stdout.splitlines()
    assert "#   amp: {values: [true, false], default: false}" in lines
    assert "#   opt: {values: [sgd, 'yes'], default: 'yes'}" in lines
    assert "#   lr: {min: 0.0001, max: 0.01, log: true, default: 0.001}" in lines
    assert "# metric: {name: accuracy, goal: minimize}    # or maximize" in lines
    assert "command: ['${interpreter}', '${program}', '${args_argparse}']" in lines
    assert not Path("train.yaml").exists()


def test_of_several_metrics_none_is_chosen_and_all_are_named(project: Path) -> None:
    (project / "train.py").write_text("def train(trial):\n    return {'loss': 1, 'size': 2}\n")
    lines = call("init", "train.py", "-o", "-").stdout.splitlines()
    assert "# metric: {name: loss, goal: minimize}    # or maximize; reported: 'loss', 'size'" in lines


def test_a_script_runs_with_the_file_that_was_written_for_it(project: Path) -> None:
    (project / "train.py").write_text(SCRIPT)
    call("init", "train.py")
    assert _fill_in(project / "train.yaml") == ["parameters: is missing", "metric: is missing"]
    call("run", "train.yaml", "--inline", "--quiet", "-n", "2")
    assert "2 complete" in call("status", "train").stdout


def test_a_function_runs_with_the_file_that_was_written_for_it(project: Path) -> None:
    (project / "train.py").write_text(
        FUNCTION.replace("range(trial.params.epochs)", "[round(trial.params.epochs)]")
    )
    call("init", "train.py:train")
    assert _fill_in(project / "train.yaml") == ["parameters: is missing", "metric: is missing"]
    assert load_spec("train.yaml").metric.name == "val/loss"
    call("run", "train.yaml", "--inline", "--quiet", "-n", "2")


def test_an_optuna_objective_runs_with_the_file_that_was_written_for_it(project: Path) -> None:
    (project / "train.py").write_text(OPTUNA)
    call("init", "train.py:objective")
    assert _fill_in(project / "train.yaml") == ["metric.goal: is missing"]
    call("run", "train.yaml", "--inline", "--quiet", "-n", "2")


STUDY = """
import optuna

def build(trial):
    return trial.suggest_int("layers", 1, 3)

def run(trial):
    return build(trial) * trial.suggest_float("x", 0, 1)

if __name__ == "__main__":
    study = optuna.create_study(
        directions=["maximize"],
        sampler=optuna.samplers.TPESampler(seed=3, n_startup_trials=4),
        pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.2),
    )
    study.enqueue_trial({"x": 0.5, "layers": 2})
    study.optimize(run, n_trials=2, timeout=600)
"""


def test_a_file_with_a_study_needs_nothing_to_be_filled_in(project: Path) -> None:
    (project / "train.py").write_text(STUDY)
    call("init", "train.py")
    call("check", "train.yaml")
    spec = load_spec("train.yaml")
    assert spec.objective == "train.py:run"
    assert (spec.metric.name, spec.metric.goal) == ("objective", "maximize")
    assert spec.sampler.model_dump(exclude_none=True) == {"type": "tpe", "seed": 3, "startup_trials": 4}
    assert spec.pruner.model_dump(exclude_none=True, exclude_unset=True) == {
        "type": "wilcoxon",
        "p_threshold": 0.2,
    }
    assert (spec.stop.trials, spec.stop.seconds) == (2, 600)
    call("run", "train.yaml", "--inline", "--quiet")
    trials = json.loads(call("trials", "train", "--format", "json").stdout)
    assert trials[0]["params"] == {"layers": 2, "x": 0.5}


def test_an_objective_that_must_be_named_first_is_commented_out_with_what_to_do(project: Path) -> None:
    (project / "train.py").write_text(STUDY.replace("optimize(run,", "optimize(lambda t: run(t, 1),"))
    call("init", "train.py")
    lines = (project / "train.yaml").read_text().splitlines()
    assert "# To do: add at the top level of train.py: objective = lambda t: run(t, 1)" in lines
    assert "# objective: 'train.py:objective'" in lines
    assert "objective: is missing" in call("check", "train.yaml", status=2).stderr


def test_a_callable_that_cannot_be_read_gets_a_template(project: Path) -> None:
    (project / "made.py").write_text("from maker import train\n")
    assert "0 parameters found for made.py:train" in call("init", "made.py:train").stdout
    assert _fill_in(project / "made.yaml") == ["parameters: is missing", "metric: is missing"]


def test_a_file_is_never_overwritten(project: Path) -> None:
    (project / "train.py").write_text(FUNCTION)
    (project / "train.yaml").write_text("mine")
    done = call("init", "train.py", status=2)
    assert "train.yaml: cannot be written: File exists; choose another -o FILE" in done.stderr
    assert (project / "train.yaml").read_text() == "mine"
    call("init", "train.py", "-o", "other.yaml")
    assert call("init", "train.py", "-o", "no/such/folder.yaml", status=2).stderr.count("error: ") == 1


def test_a_file_whose_name_cannot_name_a_sweep_gets_another_one(project: Path) -> None:
    (project / "my train.py").write_text(FUNCTION)
    call("init", "my train.py")
    assert _fill_in(project / "my train.yaml")
    assert load_spec("my train.yaml").name == "my-train"


def test_the_printed_commands_can_be_pasted_whatever_the_name_of_the_file_is(project: Path) -> None:
    (project / "my train.py").write_text(FUNCTION)
    assert "\n  sweep check 'my train.yaml'  " in call("init", "my train.py").stdout
    assert "# `sweep check 'my train.yaml'` shows" in (project / "my train.yaml").read_text()


@pytest.mark.parametrize("target", ["missing.py", "train.py:f", "bad.py", "two.py", "train", ""])
def test_a_bad_target_is_one_clear_error(project: Path, target: str) -> None:
    (project / "train.py").write_text(FUNCTION)
    (project / "bad.py").write_text("def")
    (project / "two.py").write_text("def a(trial): ...\ndef b(trial): ...\n")
    assert call("init", target, status=2).stderr.count("error: ") == 1
