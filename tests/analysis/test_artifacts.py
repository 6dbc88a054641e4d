"""Finding an artifact of the best trial and copying it: `sweep best NAME --artifact`."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from tests.commands import call
from tests.conftest import MakeSweep

pytestmark = pytest.mark.process


@pytest.fixture
def saved(make_sweep: MakeSweep) -> Path:
    """A finished sweep whose trials have saved their numbers, as a file and in a directory."""
    file = make_sweep(
        """
        import pathlib

        def train(trial):
            if trial.number == 0:
                return 5.0
            pathlib.Path("folder").mkdir(exist_ok=True)
            pathlib.Path("folder/number").write_text(str(trial.number))
            trial.save_artifact("folder", "hf")
            trial.save_artifact("folder/number", "model.pt")
            return -trial.number
        """,
        stop={"trials": 3},
    )
    sweep.run(file, inline=True)
    return file


def test_the_best_trials_artifact_is_copied_to_the_current_directory(saved: Path) -> None:
    said = call("best", "demo", "--artifact", "model.pt").stdout
    assert said == "model.pt: model.pt of trial 2, loss = -2\n"
    assert Path("model.pt").read_text() == "2"


@pytest.mark.parametrize(
    ("output", "place"),
    [("there", "there/model.pt"), ("new/er/", "new/er/model.pt"), ("there/best", "there/best")],
)
def test_the_output_option_names_a_file_or_a_directory(saved: Path, output: str, place: str) -> None:
    Path("there").mkdir()
    call("best", "demo", "--artifact", "model.pt", "-o", output)
    assert Path(place).read_text() == "2"
    call("best", "demo", "--artifact", "hf", "-o", output.replace("best", "best-folder"))


def test_existing_files_are_overwritten_with_force_only(saved: Path) -> None:
    Path("model.pt").write_text("mine")
    refused = call("best", "demo", "--artifact", "model.pt", status=2)
    assert "model.pt: already exists; replace it with --force" in refused.stderr
    assert Path("model.pt").read_text() == "mine"
    call("best", "demo", "--artifact", "model.pt", "--force")
    assert Path("model.pt").read_text() == "2"
    Path("out/hf").mkdir(parents=True)
    Path("out/hf/old").touch()
    assert "already exists" in call("best", "demo", "--artifact", "hf", "-o", "out", status=2).stderr
    call("best", "demo", "--artifact", "hf", "-o", "out", "--force")
    assert [path.name for path in Path("out/hf").iterdir()] == ["number"]
    Path("there/model.pt").mkdir(parents=True)
    folder = call("best", "demo", "--artifact", "model.pt", "-o", "there", "--force", status=2)
    assert "is a directory, but the artifact is a file" in folder.stderr


def test_errors_suggest_existing_names(saved: Path) -> None:
    assert "no artifact 'modle.pt'; did you mean 'model.pt'?" in (
        call("best", "demo", "--artifact", "modle.pt", status=2).stderr
    )
    assert (
        "no artifact 'x'; possible: hf, model.pt" in call("best", "demo", "--artifact", "x", status=2).stderr
    )
    assert "the directory not does not exist" in (
        call("best", "demo", "--artifact", "hf", "-o", "not/here", status=2).stderr
    )
    assert "--output: is for --artifact" in call("best", "demo", "-o", "x", status=2).stderr
    assert "--force: is for --artifact" in call("best", "demo", "--force", status=2).stderr
    assert "has no repeats" in call("best", "demo", "--artifact", "hf", "--repeat", "1", status=2).stderr


def test_the_error_for_a_trial_without_artifacts_explains_how_to_save_one(make_sweep: MakeSweep) -> None:
    sweep.run(make_sweep("def train(trial):\n    return 1.0\n", stop={"trials": 1}), inline=True)
    error = call("best", "demo", "--artifact", "model.pt", status=2).stderr
    assert "trial 0 of demo has saved no artifacts; the objective saves one with trial.save" in error


def test_the_best_repeat_is_the_default(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import pathlib

        def train(trial):
            pathlib.Path("model.pt").write_text(str(trial.seed))
            trial.save_artifact("model.pt")
            return abs(trial.seed - 43)
        """,
        repeats={"seeds": [42, 43, 44]},
        stop={"trials": 1},
    )
    sweep.run(file, inline=True)
    said = call("best", "demo", "--artifact", "model.pt", "-o", "a").stdout
    assert said == "a: model.pt of trial 0/seed-43, loss = 0\n"
    for repeat, seed in (("0", "42"), ("seed-44", "44"), ("2", "44")):
        call("best", "demo", "--artifact", "model.pt", "-o", "b", "--force", "--repeat", repeat)
        assert Path("b").read_text() == seed
    wrong = call("best", "demo", "--artifact", "model.pt", "--repeat", "3", status=2)
    assert "--repeat 3: no such repeat; write 0 to 2, or seed-42, seed-43, seed-44" in wrong.stderr
