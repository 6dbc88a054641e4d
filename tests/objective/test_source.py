"""What is read from an objective's source, without running it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import InputError
from sweep.objective.source_info import Source
from sweep.objective.source_reader import read_source

UNKNOWN = {"min": 0.0, "max": 1.0}
"""What an example shows for a parameter of which only the name is known."""


@pytest.fixture
def read(project: Path) -> Any:
    """Reads code as `train.py`, or the function of it that is named."""

    def inspect(code: str, function: str = "") -> Source:
        (project / "train.py").write_text(textwrap.dedent(code))
        return read_source(f"train.py:{function}" if function else "train.py")

    return inspect


def test_nothing_is_run(read: Any, project: Path) -> None:
    source = read("open('run', 'w')\ndef train(trial):\n    return trial.params.lr\n")
    assert list(source.examples) == ["lr"]
    assert not (project / "run").exists()


def test_of_parameters_that_a_function_takes_only_the_names_are_certain(read: Any) -> None:
    source = read(
        """
        def train(trial):
            a, b = trial.params.a, trial.params["b-b"]
            params = trial.params
            for name in params.keys(): ...
            if a == "x" or params.c + params["d"]: ...
        """
    )
    assert source.parameters == {}
    assert source.examples == dict.fromkeys(["a", "b-b", "c", "d"], UNKNOWN)


def test_functions_that_the_objective_calls_are_read_too_and_others_are_not(read: Any) -> None:
    source = read(
        """
        def make(width, trial):
            return trial.params.depth

        def log(t, loss):
            t.log({"loss": loss}, step=0)

        def unused(t):
            t.suggest_int("unused", 1, 2)
            return {"unused": 1}

        def train(trial):
            make(1, trial)
            log(trial, 1.0)
            train(trial)
        """,
        "train",
    )
    assert list(source.examples) == ["depth"]
    assert source.parameters == {}
    assert source.metrics == ["loss"]
    assert not source.has_suggestions


def test_suggestions_with_literal_bounds_become_parameters(read: Any) -> None:
    source = read(
        """
        import optuna

        def objective(trial):
            trial.suggest_float("lr", 1e-5, 1e-1, log=True)
            trial.suggest_float("q", 0, 1, step=0.25)
            trial.suggest_int("layers", low=1, high=8, step=2)
            trial.suggest_int("one", 1, 8)
            trial.suggest_categorical("width", (16, 32))
            trial.suggest_uniform("old", -1, 1)
            trial.suggest_loguniform("older", 1e-3, 1)
            trial.suggest_discrete_uniform("oldest", 0, 1, 0.5)
            trial.suggest_int("open", 1, limit())
            trial.suggest_float("is_log", 1, 2, log=is_log())
            trial.suggest_categorical("made", choices())
            trial.suggest_float("bad", 0.0, 1.0, log=True)
            trial.suggest_float(f"x{1}", 0, 1)
            return accuracy
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
        "oldest": {"min": 0.0, "max": 1.0, "step": 0.5},
    }
    assert all(isinstance(source.parameters[name]["min"], float) for name in ("q", "old", "oldest"))
    assert source.examples == {
        "open": {"min": 1, "max": 10},
        **dict.fromkeys(["is_log", "made", "bad"], UNKNOWN),
    }
    assert source.has_suggestions
    assert source.metrics == []
    assert source.notes == ["line 17: the name of a parameter is not a literal"]


@pytest.mark.parametrize(
    ("bounds", "example"),
    [
        ("1, n", (1, 10)),
        ("16, high=n, step=2", (16, 32)),
        ("-20, n", (-20, 10)),
        ("n, 64", (1, 64)),
        ("n, -3", (-12, -3)),
        ("n, m", (1, 10)),
        ("2, 6, step=n", (2, 6)),
    ],
)
def test_an_integer_that_is_suggested_with_unknown_bounds_is_an_example_with_those_that_are_known(
    read: Any, bounds: str, example: tuple[int, int]
) -> None:
    source = read(f"def objective(trial, n=3, m=4):\n    return trial.suggest_int('x', {bounds})\n")
    assert source.parameters == {}
    assert source.examples == {"x": dict(zip(("min", "max"), example, strict=True))}
    assert all(type(bound) is int for bound in source.examples["x"].values())


def test_reported_and_returned_metrics_are_found_and_steps_are_not_among_them(read: Any) -> None:
    source = read(
        """
        def train(trial):
            trial.log({"speed": 1, "val/loss": 2, **more}, step=0)
            print(json.dumps({"step": 1, "speed": 2, 3: 4}))
            return {"epoch": 1, "val/loss": 3, " odd ": 4, "two\\nlines": 5}
        """
    )
    assert source.metrics == ["speed", "val/loss"]


def test_argparse_options_have_literal_choices_or_examples_around_their_defaults(read: Any) -> None:
    source = read(
        """
        import argparse, json
        parser = argparse.ArgumentParser()
        parser.add_argument("data")
        parser.add_argument("--learning-rate", "-l", type=float, default=3e-4)
        parser.add_argument("--hidden", type=int, default=64)
        parser.add_argument("--one", type=int, default=1)
        parser.add_argument("--scale", type=float, default=2)
        parser.add_argument("--shift", type=float, default=-2)
        parser.add_argument("--opt", choices=["sgd", "adam"], default="adam")
        parser.add_argument("--act", choices=("relu", "gelu"))
        parser.add_argument("--name", default="run")
        parser.add_argument("--amp", action="store_true")
        parser.add_argument("--nesterov", action=argparse.BooleanOptionalAction, default=True)
        parser.add_argument("--flag", type=bool, default=False)
        parser.add_argument("--betas", nargs=2, type=float)
        parser.add_argument("--wd", type=float, required=True)
        parser.add_argument("--layers", type=int)
        args = parser.parse_args()
        print(json.dumps({"step": 1, "val_loss": 2.0}))
        """
    )
    assert (source.key, source.target) == ("program", "train.py")
    assert source.parameters == {}, "whether an option is to be searched is not certain"
    assert source.command == ["${interpreter}", "${program}", "${args_argparse}"]
    assert source.examples == {
        "opt": {"values": ["sgd", "adam"], "default": "adam"},
        "act": {"values": ["relu", "gelu"]},
        "amp": {"values": [True, False], "default": False},
        "no-nesterov": {"values": [True, False], "default": False},
        "learning-rate": {"min": 3e-5, "max": 3e-3, "log": True, "default": 3e-4},
        "hidden": {"min": 32, "max": 128, "default": 64},
        "one": {"min": 1, "max": 2, "default": 1},
        "scale": {"min": 0.2, "max": 20.0, "log": True, "default": 2.0},
        "shift": UNKNOWN,
        "name": "run",
        "wd": UNKNOWN,
        "layers": {"min": 1, "max": 10},
    }
    assert source.metrics == ["val_loss"]
    assert [note.split()[0] for note in source.notes] == ["data", "--flag", "--betas"]


def test_click_options_become_parameters(read: Any) -> None:
    source = read(
        """
        import click

        @click.command()
        @click.argument("path")
        @click.option("--lr", default=0.01)
        @click.option("--opt", type=click.Choice(["a", "b"]), default="b")
        @click.option("--depth", type=click.IntRange(1, 5))
        @click.option("--share", type=click.FloatRange(max=1, min=0))
        @click.option("--least", type=click.IntRange(min=1), default=2)
        @click.option("--out", type=click.Path("r"), default="out")
        @click.option("--amp/--no-amp", default=True)
        @click.option("--fast", is_flag=True)
        @click.option("--many", multiple=True)
        def main(path, lr, opt, depth, amp, fast): ...

        if __name__ == "__main__":
            main()
        """
    )
    assert source.key == "program"
    assert source.parameters == {}
    assert source.command == ["${interpreter}", "${program}", "${args_no_boolean_flags}"]
    assert source.examples == {
        "opt": {"values": ["a", "b"], "default": "b"},
        "depth": {"min": 1, "max": 5},
        "share": {"min": 0.0, "max": 1.0},
        "no-amp": {"values": [True, False], "default": False},
        "fast": {"values": [True, False], "default": False},
        "lr": {"min": 0.001, "max": 0.1, "log": True, "default": 0.01},
        "least": {"min": 1, "max": 4, "default": 2},
        "out": "out",
    }
    assert [note.split()[0] for note in source.notes] == ["path", "--many"]


TYPER = """
    import typer
    from typing import Annotated

    {before}
    def main(
        data: str,
        learning_rate: float = 0.01,
        depth: Annotated[int, typer.Option(help="how deep, a float")] = 4,
        size: int = typer.Option(8, help="of a batch"),
        wd: float = typer.Option(...),
        place: str = typer.Argument("here"),
        fast: bool = False,
        amp: bool = True,
    ): ...

    def other(unrelated: int = 3): ...

    {after}
    """


@pytest.mark.parametrize(("before", "after"), [("", "typer.run(main)"), ("@app.command()", "app()")])
def test_typer_options_become_parameters(read: Any, before: str, after: str) -> None:
    source = read(TYPER.format(before=before, after=after))
    assert source.key == "program"
    assert source.parameters == {}
    assert source.examples == {
        "fast": {"values": [True, False], "default": False},
        "no-amp": {"values": [True, False], "default": False},
        "learning-rate": {"min": 0.001, "max": 0.1, "log": True, "default": 0.01},
        "depth": {"min": 2, "max": 8, "default": 4},
        "size": {"min": 4, "max": 16, "default": 8},
        "wd": UNKNOWN,
    }


def test_scalars_for_tensorboard_are_metrics(read: Any) -> None:
    source = read("writer.add_scalar('val/acc', 1, 0)\nwriter.add_scalar(name, 1, 0)\n")
    assert source.metrics == ["val/acc"]
    assert not source.notes


def test_the_function_with_a_trial_is_taken_or_else_the_file_is_a_script(read: Any) -> None:
    assert read("def a(x): ...\ndef b(trial): ...\nif __name__ == '__main__': a(1)\n").target == "train.py:b"
    assert read("def a(trial, width=3): return trial.params.x\n").examples.keys() == {"x"}
    assert read("class A:\n    def b(self, t): return t.params.x\n", "A.b").examples.keys() == {"x"}
    assert read("def a(t): ...\nif __name__ == '__main__':\n    pass\n").key == "program"


def test_a_function_of_a_module_is_found_by_its_dotted_name(project: Path) -> None:
    (project / "package_of_init").mkdir()
    (project / "package_of_init" / "work.py").write_text("def train(trial): return trial.params.x\n")
    source = read_source("package_of_init.work:train")
    assert (source.key, source.target) == ("objective", "package_of_init.work:train")
    assert list(source.examples) == ["x"]
    assert read_source("math:sqrt").examples == {}


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
def test_any_callable_is_read_as_far_as_its_module_defines_it(read: Any, code: str) -> None:
    source = read(code, "train")
    assert (source.key, source.target) == ("objective", "train.py:train")
    assert source.examples.keys() == CALLED[code]


@pytest.mark.parametrize(
    ("code", "function", "message"),
    [
        ("class A:\n    def __call__(self, trial): ...\n", "A", "A is a class; name an instance of it"),
        ("def a(trial, data): ...\n", "a", "takes 2 arguments"),
        ("a = 3\n", "a", "is not a function"),
        (
            "def a(trial): ...\ndef b(trial): ...\n",
            "",
            "train.py: a and b take a trial; write train.py:a",
        ),
        ("def train(trial): ...\n", "trian", "did you mean 'train'"),
        ("def train(trial:\n", "train", "train.py:1: is not Python"),
        ("x = '\0'\n", "", "is not Python"),
    ],
)
def test_an_invalid_target_is_an_error_with_a_hint(read: Any, code: str, function: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(code, function)


def test_a_missing_file_is_an_error_with_a_similar_name(project: Path) -> None:
    (project / "train.py").touch()
    (project / "package").mkdir()
    for target, message in [
        ("trian.py", "did you mean train.py"),
        ("nowhere/train.py:f", "there is no file nowhere/train.py"),
        ("train", "there is no file train; did you mean train.py"),
        ("package", "there is no file package "),
        ("package.py", "there is no file package.py"),
        (":train", "does not name a function"),
        ("", "there is no file"),
    ]:
        with pytest.raises(InputError, match=message) as raised:
            read_source(target)
        assert not str(raised.value).startswith(("TARGET", "objective")), "there is no sweep file yet"
