"""What is read from an objective's source, without running it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import InputError
from sweep.objective.source.found import Source
from sweep.objective.source.guesses import around, by_name, goal_of
from sweep.objective.source.inspect import inspect_source


@pytest.fixture
def read(project: Path) -> Any:
    """Reads code as `train.py`, or the function of it that is named."""

    def inspect(code: str, function: str = "") -> Source:
        (project / "train.py").write_text(textwrap.dedent(code))
        return inspect_source(f"train.py:{function}" if function else "train.py")

    return inspect


def test_nothing_is_run(read: Any, project: Path) -> None:
    source = read("open('run', 'w')\ndef train(trial):\n    return trial.params.lr\n")
    assert list(source.parameters) == ["lr"]
    assert not (project / "run").exists()


def test_parameters_are_found_however_they_are_taken(read: Any) -> None:
    source = read(
        """
        def train(trial):
            p = trial.params
            a, b = trial.params.a, trial.params["b"]
            c, d = p.c, p["d-d"]
            e = p.get("e", 0.5)
            for name in p.keys(): ...
        """
    )
    assert list(source.parameters) == ["a", "b", "c", "d-d", "e"]
    assert source.guessed == set(source.parameters)
    assert source.parameters["e"] == {"min": 0.05, "max": 5.0, "log": True, "default": 0.5}


def test_functions_that_get_the_trial_or_its_parameters_are_read_too(read: Any) -> None:
    source = read(
        """
        def make(width, params):
            return params.depth

        def log(t, loss):
            t.log({"loss": loss}, step=0)

        def train(trial):
            make(1, params=trial.params)
            log(trial, 1.0)
            train(trial)
        """
    )
    assert list(source.parameters) == ["depth"]
    assert source.metrics == ["loss"]
    assert source.reports


def test_words_that_a_parameter_is_compared_with_are_its_choices(read: Any) -> None:
    source = read(
        """
        def train(trial):
            if trial.params.a == "x" or trial.params.a == "y": ...
            if trial.params.b in ("u", "v"): ...
            match trial.params.c:
                case "s" | "t": ...
                case _: ...
        """
    )
    assert source.parameters["a"] == {"values": ["x", "y"]}
    assert source.parameters["b"] == {"values": ["u", "v"]}
    assert source.parameters["c"] == {"values": ["s", "t"]}


def test_a_study_counts_for_the_objective_that_it_optimises(read: Any) -> None:
    code = """
        import optuna

        def one(trial):
            return trial.suggest_float("x", 0, 1)

        def two(trial):
            def inner():
                return 1, 2, 3
            return trial.suggest_float("x", 0, 1), 2

        study = optuna.create_study(direction="maximize")
        study.optimize(one, n_trials=7)
        """
    first, second = read(code, "one"), read(code, "two")
    assert (first.goal, first.trials, first.values) == ("maximize", 7, 1)
    assert (second.goal, second.trials, second.values) == (None, None, 2)


@pytest.mark.parametrize(
    ("said", "goals", "values"),
    [
        ("direction=StudyDirection.MAXIMIZE", ["maximize"], 1),
        ("direction=optuna.study.StudyDirection.MAXIMIZE", ["maximize"], 1),
        ("directions=['maximize']", ["maximize"], 1),
        ("directions=['maximize', StudyDirection.MINIMIZE]", ["maximize", "minimize"], 2),
        ("directions=('minimize', told())", [], 1),
        ("direction=args.direction", [], 1),
        ("", [], 1),
    ],
)
def test_the_goals_of_a_study_are_read_in_all_of_optunas_words(
    read: Any, said: str, goals: list[str], values: int
) -> None:
    source = read(
        f"""
        def objective(trial):
            return evaluate(trial.suggest_float("x", 0, 1))

        optuna.create_study({said}).optimize(objective)
        """
    )
    assert (source.goals, source.values) == (goals, values)


def test_optunas_suggestions_are_taken_over_with_their_bounds(read: Any) -> None:
    source = read(
        """
        import optuna
        WIDTHS = (16, 2**5)

        def objective(trial):
            trial.suggest_float("lr", 1e-5, 1e-1, log=True)
            trial.suggest_float("q", 0, 1, step=0.25)
            trial.suggest_int("layers", low=1, high=8, step=2)
            trial.suggest_int("one", 1, 8)
            trial.suggest_categorical("width", WIDTHS)
            trial.suggest_uniform("old", -1, 1)
            trial.suggest_loguniform("older", 1e-3, 1)
            trial.suggest_int("open", 1, limit())
            trial.suggest_float(f"x{1}", 0, 1)
            return accuracy

        optuna.create_study(direction="maximize").optimize(objective)
        """
    )
    assert source.parameters == {
        "lr": {"min": 1e-5, "max": 0.1, "log": True},
        "q": {"min": 0.0, "max": 1.0, "step": 0.25},
        "layers": {"min": 1, "max": 8, "step": 2},
        "one": {"min": 1, "max": 8},
        "width": {"values": [16, 32]},
        "old": {"min": -1.0, "max": 1.0},
        "older": {"min": 1e-3, "max": 1.0, "log": True},
        "open": {"min": 0.0, "max": 1.0},
    }
    assert source.guessed == {"open"}
    assert source.goal == "maximize"
    assert source.metrics == ["accuracy"]
    assert len(source.notes) == 1
    assert not source.reports


def test_the_conditions_of_optunas_parameters_are_read_where_they_are_plain(read: Any) -> None:
    source = read(
        """
        def objective(trial):
            kind = trial.suggest_categorical("model", ["svm", "forest", "tree", "net"])
            if kind == "svm":
                trial.suggest_float("c", 0.1, 1.0)
                kernel = trial.suggest_categorical("kernel", ["rbf", "poly"])
                if kernel != "rbf":
                    trial.suggest_int("degree", 2, 5)
            elif kind in ("forest", "tree"):
                depth = trial.suggest_int("depth", 1, 9)
                if depth > 3:
                    trial.suggest_int("leaf", 1, 9)
            else:
                net(trial)
            trial.suggest_float("both", 0, 1) if kind == "svm" else trial.suggest_float("both", 0, 1)
            for layer in range(4):
                trial.suggest_int("looped", 1, 9)
            if kind == "svm" and kernel == "rbf":
                trial.suggest_float("mixed", 0, 1)
            if kind == "svm":
                trial.suggest_float("twice", 0, 1)
            if kind == "net":
                trial.suggest_float("twice", 0, 1)
            return 1.0

        def net(t):
            t.suggest_float("lr", 0.0, 1.0)
        """
    )
    assert source.when == {
        "c": {"model": "svm"},
        "kernel": {"model": "svm"},
        "degree": {"model": "svm", "kernel": "poly"},
        "depth": {"model": ["forest", "tree"]},
        "lr": {"model": "net"},
        "twice": {"model": ["svm", "net"]},
    }
    assert source.conditional == {"leaf", "looped", "mixed"}


def test_a_variable_that_changes_says_nothing_of_a_condition(read: Any) -> None:
    source = read(
        """
        def objective(trial):
            kind = trial.suggest_categorical("kind", ["a", "b"])
            kind = kind.upper()
            if kind == "a":
                return trial.suggest_float("x", 0, 1)
            return objective(trial) if trial.suggest_int("y", 0, 1) else 1.0
        """
    )
    assert source.conditional == {"x"}
    assert not source.when


def test_the_metric_most_likely_to_be_optimised_is_the_first(read: Any) -> None:
    source = read(
        """
        def train(trial):
            trial.log({"speed": 1, "train/loss": 1, "val/loss": 2}, step=0)
            return {"epoch_time": 1, "val/loss": 3}
        """
    )
    assert source.metrics == ["val/loss", "train/loss", "speed", "epoch_time"]


def test_argparse_options_become_parameters_around_their_defaults(read: Any) -> None:
    source = read(
        """
        import argparse, json
        parser = argparse.ArgumentParser()
        parser.add_argument("data")
        parser.add_argument("--learning-rate", "-l", type=float, default=3e-4)
        parser.add_argument("--hidden", type=int, default=64)
        parser.add_argument("--one", type=int, default=1)
        parser.add_argument("--shift", type=float, default=-2)
        parser.add_argument("--opt", choices=["sgd", "adam"], default="adam")
        parser.add_argument("--momentum", type=float, default=0.9)
        parser.add_argument("--epochs", type=int, default=20)
        parser.add_argument("--name", default="run")
        parser.add_argument("--amp", action="store_true")
        parser.add_argument("--nesterov", action=argparse.BooleanOptionalAction, default=True)
        parser.add_argument("--flag", type=bool, default=False)
        parser.add_argument("--betas", nargs=2, type=float)
        parser.add_argument("--wd", type=float, required=True)
        args = parser.parse_args()
        print(json.dumps({"step": 1, "val_loss": 2.0}))
        """
    )
    assert (source.kind, source.work) == ("script", "train.py")
    assert source.parameters == {
        "learning-rate": {"min": 3e-5, "max": 3e-3, "log": True, "default": 3e-4},
        "hidden": {"min": 32, "max": 128, "default": 64},
        "one": {"min": 1, "max": 2, "default": 1},
        "shift": {"min": -4.0, "max": -1.0, "default": -2.0},
        "opt": {"values": ["sgd", "adam"], "default": "adam"},
        "momentum": {"min": 0.0, "max": 0.95, "default": 0.9},
        "epochs": 20,
        "name": "run",
        "amp": {"values": [True, False], "default": False},
        "no-nesterov": {"values": [True, False], "default": False},
        "wd": {"min": 1e-6, "max": 1e-2, "log": True},
    }
    assert source.has_flags
    assert source.metrics == ["val_loss"]
    assert [note.split()[0] for note in source.notes] == ["data", "--flag", "--betas"]


def test_click_options_become_parameters(read: Any) -> None:
    source = read(
        """
        import click

        @click.command()
        @click.argument("path")
        @click.option("--lr", default=0.01)
        @click.option("--opt", type=click.Choice(["a", "b"]))
        @click.option("--depth", type=click.IntRange(1, 5))
        @click.option("--amp/--no-amp", default=True)
        @click.option("--fast", is_flag=True)
        def main(path, lr, opt, depth, amp, fast): ...

        if __name__ == "__main__":
            main()
        """
    )
    assert source.kind == "script"
    assert source.parameters == {
        "lr": {"min": 0.001, "max": 0.1, "log": True, "default": 0.01},
        "opt": {"values": ["a", "b"]},
        "depth": {"min": 1, "max": 5},
        "no-amp": {"values": [True, False], "default": False},
        "fast": {"values": [True, False], "default": False},
    }


def test_wandbs_config_is_read_with_its_defaults(read: Any) -> None:
    source = read(
        """
        import wandb
        defaults = {"lr": 0.1, "layers": 2}
        with wandb.init(config=defaults) as run:
            config = run.config
            train(config.lr, config["dropout"], wandb.config.units)
            run.log({"accuracy": 1})
        """
    )
    assert list(source.parameters) == ["lr", "layers", "dropout", "units"]
    assert source.parameters["lr"]["default"] == 0.1
    assert source.metrics == ["accuracy"]


def test_scalars_for_tensorboard_are_metrics_that_are_reported(read: Any) -> None:
    source = read("writer.add_scalar('val/acc', 1, 0)\n")
    assert source.metrics == ["val/acc"]
    assert source.reports
    assert not source.notes


def test_the_function_with_a_trial_is_taken_or_else_the_only_one(read: Any) -> None:
    assert read("def a(x): ...\ndef b(trial): ...\nif __name__ == '__main__': a(1)\n").work == "train.py:b"
    assert read("def a(t): return t.params.x\n").parameters.keys() == {"x"}
    assert read("class A:\n    def b(self, t): return t.params.x\n", "A.b").parameters.keys() == {"x"}
    assert read("if __name__ == '__main__':\n    pass\n").kind == "script"


CALLED = {
    "train = lambda trial: trial.params.lr": {"lr"},
    "def run(trial): return trial.params.lr\ntrain = functools.partial(run)": {"lr"},
    "def run(data, trial): return trial.params.lr\ntrain = partial(run, DATA)": {"lr"},
    "def run(trial, data): return trial.params.lr\ntrain: Any = partial(run, data=DATA)": {"lr"},
    "class Run:\n    def __call__(self, trial): return trial.params.lr\ntrain = Run(3)": {"lr"},
    "if FAST:\n    def train(trial): return trial.params.lr": {"lr"},
    "class Run: ...\ntrain = Run(3)": set(),
    "from package import train": set(),
    "train = make(3)": set(),
    "train = partial(make(), *DATA)": set(),
    "train = len\ntrain = partial(train)": set(),
}


@pytest.mark.parametrize("code", CALLED)
def test_whatever_can_be_called_is_read_as_far_as_that_is_possible(read: Any, code: str) -> None:
    source = read(code, "train")
    assert source.work == "train.py:train"
    assert source.parameters.keys() == CALLED[code]
    assert source.in_optuna == (not CALLED[code]), "then it has to ask for its parameters itself"


@pytest.mark.parametrize(
    ("code", "function", "message"),
    [
        ("class A:\n    def __call__(self, trial): ...\n", "A", "A is a class; name an instance of it"),
        ("def a(trial, data): ...\n", "a", "takes 2 arguments"),
        ("a = 3\n", "a", "is no function"),
        (
            "def a(trial): ...\ndef b(trial): ...\n",
            "",
            "several functions take a trial: a, b; write train.py:a",
        ),
        ("def a(x): ...\ndef b(y): ...\n", "", "possible: a, b"),
        ("def a(x, y): ...\n", "", "write def a\\(trial\\)"),
        ("X = 1\n", "", "has neither a function nor"),
        ("def train(trial): ...\n", "trian", "did you mean 'train'"),
        ("def train(trial:\n", "train", "train.py:1: is no Python"),
        ("x = '\0'\n", "", "is no Python"),
    ],
)
def test_a_target_that_will_not_do_is_named_with_what_would(
    read: Any, code: str, function: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(code, function)


def test_a_file_that_is_not_there_is_named_with_its_neighbour(project: Path) -> None:
    (project / "train.py").touch()
    (project / "package").mkdir()
    (project / "package" / "work.py").touch()
    for target, message in [
        ("trian.py", "did you mean train.py"),
        ("nowhere/train.py:f", "there is no such file"),
        ("package", "is a directory"),
        ("package.work:train", "write package/work.py:train"),
        (":train", "names no file"),
    ]:
        with pytest.raises(InputError, match=message):
            inspect_source(target)


@pytest.mark.parametrize(
    ("metric", "goal"),
    [
        ("val/loss", "minimize"),
        ("testRMSE", "minimize"),
        ("valloss", "minimize"),
        ("perplexity", "minimize"),
        ("val_acc", "maximize"),
        ("AUC", "maximize"),
        ("f1", "maximize"),
        ("episode_reward", "maximize"),
        ("speed", None),
    ],
)
def test_a_metrics_name_says_which_way_it_is_better(metric: str, goal: str | None) -> None:
    assert goal_of(metric) == goal


def test_what_is_rarely_searched_stays_as_it_is() -> None:
    assert around("num_epochs", 3) == 3
    assert around("data_dir", "/data") == "/data"
    assert around("sizes", [1, 2]) == {"value": [1, 2]}
    assert by_name("seed") == 0
