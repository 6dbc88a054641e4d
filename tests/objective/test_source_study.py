"""What is read from a file that creates an Optuna study."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import InputError
from sweep.objective.source_info import Source
from sweep.objective.source_reader import read_source

OBJECTIVE = """
import functools
import optuna
from optuna.samplers import CmaEsSampler, TPESampler

def objective(trial):
    return trial.suggest_float("x", -1, 1)
"""


@pytest.fixture
def read(project: Path) -> Any:
    """Reads code as `train.py`, or the function of it that is named."""

    def inspect(code: str, function: str = "") -> Source:
        (project / "train.py").write_text(textwrap.dedent(code))
        return read_source(f"train.py:{function}" if function else "train.py")

    return inspect


def test_what_a_study_optimizes_is_the_objective_and_its_helpers_are_not(read: Any) -> None:
    source = read(
        """
        import optuna

        def define_model(trial):
            return trial.suggest_int("layers", 1, 3)

        def run(t, data=None):
            return define_model(t) + t.suggest_float("lr", 1e-5, 1e-1, log=True)

        if __name__ == "__main__":
            optuna.create_study().optimize(run, n_trials=10)
        """
    )
    assert source.target == "train.py:run"
    assert list(source.parameters) == ["layers", "lr"]
    assert not source.to_do


HELPERS = {
    "def build(trial): ...\ndef objective(trial): return build(trial)": "train.py:objective",
    "def build(trial: Trial): ...\ndef run(t: Trial): return build(t)": "train.py:run",
    "def build(trial): ...\ndef objective(trial, data=3): return build(trial)": "train.py:objective",
}


@pytest.mark.parametrize("code", HELPERS)
def test_without_a_study_the_function_that_no_other_uses_is_the_objective(read: Any, code: str) -> None:
    assert read(code).target == HELPERS[code]


UNNAMED = {
    "def main():\n    data = load()\n    study.optimize(lambda trial: objective(trial, data), N)": (
        "tuned",
        "train.py, where data must be defined first: tuned = lambda trial: objective(trial, data)",
    ),
    "study.optimize(lambda trial: max(objective(trial, n) for n in range(3)))": (
        "tuned",
        "add at the top level of train.py: tuned = lambda trial: max(",
    ),
    "study.optimize(lambda trial: objective(trial, 4))": (
        "tuned",
        "tuned = lambda trial: objective(trial, 4)",
    ),
    "study.optimize(functools.partial(objective, data=4))": ("tuned", "tuned = functools.partial(objective"),
    "study.optimize(Objective(4))": ("tuned", "tuned = Objective(4)"),
    "def main():\n    made = Objective(4)\n    study.optimize(made)": ("made", "made = Objective(4)"),
    "if __name__ == '__main__':\n    made = Objective(4)\n    study.optimize(made)": (
        "made",
        "move this to the top level of train.py: made = Objective(4)",
    ),
    "def main():\n    def inner(trial):\n        return objective(trial, 1)\n    study.optimize(inner)": (
        "inner",
        "inner is inside a function: move it to the top level of train.py",
    ),
}


@pytest.mark.parametrize("code", UNNAMED)
def test_an_objective_without_a_name_is_to_be_named_first(read: Any, code: str) -> None:
    name, to_do = UNNAMED[code]
    source = read(
        "import functools, optuna\n"
        "def objective(trial, data): return trial.suggest_float('x', 0, 1)\n"
        "class Objective:\n"
        "    def __init__(self, data): ...\n"
        "    def __call__(self, trial): return trial.suggest_float('x', 0, 1)\n"
        f"study = optuna.create_study()\n{code}\n"
    )
    assert (source.key, source.target) == ("objective", f"train.py:{name}")
    assert to_do in source.to_do
    assert list(source.parameters) == ["x"]


NAMED = {
    "tuned = functools.partial(objective)\nstudy.optimize(tuned)": "train.py:tuned",
    "study.optimize(func=objective)": "train.py:objective",
    "study.optimize(lambda t: objective(t))": "train.py:objective",
}


@pytest.mark.parametrize("code", NAMED)
def test_an_objective_with_a_name_at_the_top_level_is_ready(read: Any, code: str) -> None:
    source = read(f"{OBJECTIVE}\nstudy = optuna.create_study()\n{code}\n")
    assert (source.target, source.to_do) == (NAMED[code], "")


def test_an_imported_objective_is_read_in_the_file_that_defines_it(read: Any, project: Path) -> None:
    (project / "model.py").write_text("N = 1\ndef run(trial): return trial.suggest_float('x', 0, 1)\n")
    source = read("import optuna\nfrom model import run as f\nN = 7\noptuna.create_study().optimize(f, N)\n")
    assert source.target == "model.py:run"
    assert list(source.parameters) == ["x"]
    assert source.study["stop"] == {"trials": 7}


STUDIES: dict[str, dict[str, Any]] = {
    "create_study()": {"goals": ["minimize"]},
    "create_study(direction='maximize')": {"goals": ["maximize"]},
    "create_study(direction=optuna.study.StudyDirection.MAXIMIZE)": {"goals": ["maximize"]},
    "create_study(direction=ARGS.direction)": {},
    "create_study(**OPTIONS)": {},
    "create_study(directions=['minimize', 'maximize'])": {"goals": ["minimize", "maximize"]},
    "create_study(directions=['minimize'] * 2)": {"goals": ["minimize", "minimize"]},
    "load_study(study_name='x', storage='y')": {},
    "create_study(sampler=TPESampler(seed=SEED, n_startup_trials=5, multivariate=True))": {
        "goals": ["minimize"],
        "sampler": {"type": "tpe", "seed": 3, "n_startup_trials": 5, "multivariate": True},
    },
    "create_study(sampler=CmaEsSampler())": {"goals": ["minimize"], "sampler": {"type": "cmaes"}},
    "create_study(sampler=optuna.samplers.RandomSampler(10))": {
        "goals": ["minimize"],
        "sampler": {"type": "random", "seed": 10},
    },
    "create_study(sampler=TPESampler(gamma=f))": {"goals": ["minimize"], "sampler": None},
    "create_study(sampler=optuna.samplers.GridSampler({'x': [1]}))": {"goals": ["minimize"], "sampler": None},
    "create_study(sampler=MySampler())": {"goals": ["minimize"], "sampler": None},
    "create_study(pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.2))": {
        "goals": ["minimize"],
        "pruner": {"type": "wilcoxon", "p_threshold": 0.2},
    },
    "create_study(pruner=optuna.pruners.MedianPruner())": {"goals": ["minimize"], "pruner": "median"},
    "create_study(pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=2))": {
        "goals": ["minimize"],
        "pruner": {"type": "asha", "reduction_factor": 2},
    },
    "create_study(pruner=optuna.pruners.PatientPruner(optuna.pruners.PercentilePruner(25.0), 3))": {
        "goals": ["minimize"],
        "pruner": {"type": "patient", "wrapped": {"type": "percentile", "percentile": 25.0}, "patience": 3},
    },
    "create_study(pruner=optuna.pruners.MedianPruner(n_warmup_steps=STEPS))": {
        "goals": ["minimize"],
        "pruner": None,
    },
    "create_study(pruner=PRUNER)": {
        "goals": ["minimize"],
        "pruner": {"type": "hyperband", "max_resource": 9},
    },
}


@pytest.mark.parametrize("create", STUDIES)
def test_a_studys_options_become_entries_and_what_is_not_certain_does_not(read: Any, create: str) -> None:
    source = read(
        f"{OBJECTIVE}\nSEED = 3\nPRUNER = optuna.pruners.HyperbandPruner(max_resource=3 ** 2)\n"
        "STEPS = 1\nSTEPS = 2\n"
        f"study = optuna.{create}\nstudy.optimize(objective)\n"
    )
    assert source.study == STUDIES[create]
    uncertain = [key for key, value in source.study.items() if value is None]
    assert [note.split(":")[0] for note in source.notes[:-1]] == uncertain


STOPS: dict[str, Any] = {
    "n_trials=30": {"trials": 30},
    "N_TRIALS": {"trials": 100},
    "N_TRIALS // 3, 60 * 60": {"trials": 33, "time": 3600},
    "n_trials=None, timeout=600": {"time": 600},
    "n_trials=args.n_trials": None,
    "n_trials=TWICE": None,
    "n_trials=-1": "absent",
    "": "absent",
}


@pytest.mark.parametrize("given", STOPS)
def test_literal_and_named_numbers_of_trials_are_stop_rules(read: Any, given: str) -> None:
    source = read(
        f"{OBJECTIVE}\nSIZE, N_TRIALS = 20, int(1e2)\nTWICE = 1\nTWICE = 2\n"
        f"study = optuna.create_study()\nstudy.optimize(objective, {given})\n"
    )
    assert source.study.get("stop", "absent") == STOPS[given]


def test_jobs_storage_and_constraints_are_not_lost(read: Any) -> None:
    source = read(
        f"{OBJECTIVE}\nURL = 'sqlite:///db'\n"
        "study = optuna.create_study(storage=URL, sampler=TPESampler(constraints_func=print))\n"
        "study.optimize(objective, n_jobs=4)\n"
    )
    assert (source.study["max_parallel"], source.study["sampler"]) == (4, {"type": "tpe"})
    notes = "\n".join(source.notes)
    assert "storage: sqlite:///db" in notes
    assert "call trial.set_constraint(name, value) in the objective" in notes


@pytest.mark.parametrize("jobs", ["1", "-1", "count()"])
def test_jobs_that_set_no_limit_are_left_out(read: Any, jobs: str) -> None:
    source = read(f"{OBJECTIVE}\nstudy = optuna.create_study()\nstudy.optimize(objective, n_jobs={jobs})\n")
    assert "max_parallel" not in source.study


def test_enqueued_trials_are_kept_in_their_order(read: Any) -> None:
    source = read(
        f"{OBJECTIVE}\nDEFAULT = {{'x': 0.5}}\nstudy = optuna.create_study()\n"
        "study.enqueue_trial({'x': 1.0}, skip_if_exists=True)\nstudy.enqueue_trial(DEFAULT)\n"
        "study.enqueue_trial(best())\nother.enqueue_trial({'x': 0})\nstudy.optimize(objective)\n"
    )
    assert source.study["enqueue"] == [{"x": 1.0}, {"x": 0.5}]
    assert any(
        "study.enqueue_trial(best()) is not a literal: add it to enqueue" in note for note in source.notes
    )


def test_optunas_default_pruner_is_written_if_the_objective_asks_it(read: Any) -> None:
    code = OBJECTIVE.replace("    return", "    trial.should_prune()\n    return")
    assert read(f"{code}\noptuna.create_study().optimize(objective)\n").study["pruner"] == "median"
    assert "pruner" not in read(f"{OBJECTIVE}\noptuna.create_study().optimize(objective)\n").study


RETURNS = {
    "writer.add_scalar('train_loss', 1)\n    return accuracy": [],
    "trial.report({'loss': 1}, 0)\n    return {'accuracy': 1}": ["accuracy"],
    "return accuracy, latency": ["accuracy", "latency"],
    "return model(1), latency": [],
    "trial.log({'loss': 1}, 0)": ["loss"],
}


@pytest.mark.parametrize("body", RETURNS)
def test_a_metric_has_the_name_of_what_is_returned_not_of_what_is_logged(read: Any, body: str) -> None:
    source = read(f"def objective(trial):\n    trial.suggest_float('x', 0, 1)\n    {body}\n")
    assert source.metrics == RETURNS[body]


def test_a_parameter_with_several_ranges_is_only_an_example(read: Any) -> None:
    source = read(
        """
        def objective(trial):
            if trial.suggest_categorical("kind", KINDS) == "a":
                return trial.suggest_float("lr", 0.1, 1.0)
            return trial.suggest_float("lr", 0.01, 0.1)

        KINDS = ["a", "b"]
        """
    )
    assert source.parameters == {"kind": {"values": ["a", "b"]}}
    assert source.examples == {"lr": {"min": 0.1, "max": 1.0}}
    assert source.notes == ["lr has several ranges or choices"]


IMPORTS = {
    "study.optimize(objective)": 1,
    "def main():\n    study.optimize(objective)\nmain()": 1,
    "if __name__ == '__main__':\n    study.optimize(objective)": 0,
    "def main():\n    study.optimize(objective)\nif __name__ == '__main__':\n    main()": 0,
}


@pytest.mark.parametrize("code", IMPORTS)
def test_a_study_that_an_import_would_run_gets_a_note(read: Any, code: str) -> None:
    source = read(f"{OBJECTIVE}\nstudy = optuna.create_study()\n{code}\n")
    notes = [note for note in source.notes if "runs the study when a worker imports the file" in note]
    assert len(notes) == IMPORTS[code]


def test_studies_of_unnamed_objectives_are_told_apart_by_what_they_optimize(read: Any) -> None:
    code = (
        "import optuna\n"
        "def a(trial, k): return trial.suggest_float('x', 0, k)\n"
        "optuna.create_study().optimize(lambda trial: a(trial, 2), n_trials=3)\n"
        "optuna.create_study().optimize(lambda trial: a(trial, 3), n_trials=3)\n"
    )
    with pytest.raises(
        InputError,
        match=r"'lambda trial: a\(trial, 2\)' and 'lambda trial: a\(trial, 3\)' are optimized; give one of "
        r"them a name at the top level, and write train\.py:NAME",
    ):
        read(code)


def test_two_studies_can_optimize_one_objective(read: Any) -> None:
    code = (
        "import optuna\n"
        "def a(trial): return trial.suggest_float('x', 0, 1)\n"
        "optuna.create_study().optimize(a, n_trials=3)\n"
        "optuna.create_study().optimize(a, n_trials=5)\n"
    )
    assert read(code).target == "train.py:a"


def test_of_several_studies_the_one_of_the_named_objective_is_read(read: Any) -> None:
    code = (
        "import optuna\n"
        "def a(trial): return trial.suggest_float('x', 0, 1)\n"
        "def b(trial): return trial.suggest_float('y', 0, 1)\n"
        "one = optuna.create_study(direction='minimize')\n"
        "two = optuna.create_study(direction='maximize')\n"
        "one.optimize(a, n_trials=3)\ntwo.optimize(b, n_trials=4)\n"
    )
    with pytest.raises(InputError, match=r"a and b take a trial; write train\.py:a"):
        read(code)
    assert read(code, "a").study == {"goals": ["minimize"], "stop": {"trials": 3}}
    assert read(code, "b").study == {"goals": ["maximize"], "stop": {"trials": 4}}
