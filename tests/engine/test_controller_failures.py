"""An exception in the controller, for example in a sampler of the user: every engine shows the same."""

from __future__ import annotations

import secrets
import textwrap
from pathlib import Path

import pytest

import sweep
from sweep.preview import preview
from sweep.sweepfile import read_sweep_file
from tests.conftest import MakeSweep

OWN = """
    import optuna

    class Sampler(optuna.samplers.RandomSampler):
        def sample_relative(self, study, trial, space):
            return self.choose(trial)

        def choose(self, trial):
            if trial.number == 1:
                raise ValueError("no such region")
            return {}

    class Independent(optuna.samplers.RandomSampler):
        def sample_independent(self, study, trial, name, distribution):
            if trial.number == 1:
                raise ValueError("no such region")
            return super().sample_independent(study, trial, name, distribution)

    class Finishing(optuna.samplers.RandomSampler):
        def after_trial(self, study, trial, state, values):
            raise SystemExit("no such region")

    class Unpicklable(Exception):
        def __init__(self, text, other):
            super().__init__(text)
            self.file = open(__file__)

    class Pruner(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            raise Unpicklable("no such region", 1)
"""
OBJECTIVE = """
    def train(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)
        try:
            trial.should_prune()
        except Exception:
            pass  # the objective does not hide it
        return x
"""


@pytest.fixture
def own(project: Path) -> str:
    """The name of a module with samplers and a pruner; another one in each test, because it is imported."""
    name = f"own_{secrets.token_hex(4)}"
    (project / f"{name}.py").write_text(textwrap.dedent(OWN))
    return name


def error_of(file: Path, name: str, *, inline: bool) -> tuple[str, str]:
    """The message of a sweep that stops, and its log."""
    with pytest.raises(sweep.SweepError) as stopped:
        sweep.run(file, name=name, inline=inline, max_parallel=1)
    log = Path("runs", name, "error.txt")
    assert f"The whole traceback is in {log.resolve()}\n" in str(stopped.value)
    return str(stopped.value).replace(name, "NAME"), log.read_text()


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(
    ("key", "class_", "keys", "function", "first"),
    [
        ("sampler", "Sampler", {}, "sample_relative", "ValueError"),
        ("sampler", "Independent", {"parameters": "define-by-run"}, "sample_independent", "ValueError"),
        ("sampler", "Finishing", {}, "after_trial", "SystemExit"),
        ("pruner", "Pruner", {}, "prune", "Unpicklable"),
    ],
)
def test_every_engine_shows_the_same_frames_of_the_user(
    make_sweep: MakeSweep,
    project: Path,
    own: str,
    key: str,
    class_: str,
    keys: dict[str, object],
    function: str,
    first: str,
) -> None:
    file = make_sweep(OBJECTIVE, **{key: {"type": f"{own}:{class_}"}}, **keys)
    shown, log = error_of(file, "here", inline=True)
    assert error_of(file, "there", inline=False)[0] == shown
    lines = shown.splitlines()
    assert lines[:2] == [f"{first}: no such region", "Traceback (most recent call last):"]
    assert lines[2].startswith(f'  File "{project / own}.py", line ')
    assert lines[2].endswith(f", in {function}")
    assert not any("site-packages" in line or "sweep/controller" in line for line in lines)
    assert lines[-1] == f"resume with: sweep.run({str(file)!r}, ..., name='NAME')"
    assert "sweep/controller/controller.py" in log
    assert log.endswith("no such region\n")
    assert not any(trial.state == "FAIL" for trial in sweep.load("here").trials)
    resumed, _ = error_of(file, "here", inline=True)
    assert resumed == shown, "also if the sampler raises while the sweep is being resumed"


def test_the_log_of_an_error_is_removed_when_the_sweep_is_resumed(make_sweep: MakeSweep, own: str) -> None:
    file = make_sweep(OBJECTIVE, sampler={"type": f"{own}:Sampler"})
    error_of(file, "demo", inline=True)
    result = sweep.run(file, inline=True, sampler="random")
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 6
    assert not (result.directory / "error.txt").exists()


def test_a_preview_shows_the_frames_of_the_user(make_sweep: MakeSweep, project: Path, own: str) -> None:
    file = make_sweep(OBJECTIVE, sampler={"type": f"{own}:Sampler"})
    with pytest.raises(sweep.SweepError) as stopped:
        preview(read_sweep_file(file).spec, project)
    lines = str(stopped.value).splitlines()
    assert lines[:2] == ["ValueError: no such region", "Traceback (most recent call last):"]
    assert lines[2].endswith(", in sample_relative")
