"""`~` in the paths that a user writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import sweep
from sweep.sweepfile import SweepSpec
from sweep.system.paths import expand_argument, expand_home, expand_url, expand_variable
from tests.commands import PATIENCE, call, sweep_command
from tests.conftest import MakeSweep

LOSS = """
import os

def train(trial):
    trial.set_user_attr("data", os.environ["DATA"])
    return trial.params.x
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_only_a_leading_tilde_is_the_home_directory(home: Path) -> None:
    assert expand_home("~") == str(home)
    assert expand_home("~/x") == f"{home}/x"
    assert expand_home("~root/x") == f"{Path('~root').expanduser()}/x"
    assert expand_home("a/~/b") == "a/~/b"
    assert expand_home("./~") == "./~"
    assert expand_argument("~/train.py") == f"{home}/train.py"
    assert expand_argument("--x=~/y") == "--x=~/y"
    assert expand_variable("/bin:~/bin:~") == f"/bin:{home}/bin:{home}"
    assert expand_variable("~5") == "~5"
    assert expand_url("sqlite:///~/x.db") == f"sqlite:///{home}/x.db"
    assert expand_url("postgresql://user@host/db") == "postgresql://user@host/db"


def test_a_home_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sweep.InputError, match="there is no user 'nobody9'; write the absolute path"):
        expand_home("~nobody9/x")
    monkeypatch.setenv("HOME", "")
    with pytest.raises(sweep.InputError, match="HOME is not set; write the absolute path"):
        expand_home("~/x")
    with pytest.raises(sweep.InputError, match="HOME is not set"):
        expand_variable("/bin:~/bin")


def test_every_path_of_a_sweep_file_can_begin_with_the_home_directory(home: Path) -> None:
    keys = {"name": "a", "metric": {"name": "x", "goal": "minimize"}, "parameters": {"x": 1}}
    script = SweepSpec.model_validate(
        {**keys, "program": "~/a.py", "command": ["~/venv/bin/python", "${program}", "~5"], "cwd": "~"}
    )
    assert script.program == f"{home}/a.py"
    assert script.command == (f"{home}/venv/bin/python", "${program}", "~5")
    assert script.cwd == str(home)
    function = SweepSpec.model_validate(
        {**keys, "objective": "~/a.py:f", "storage": "sqlite:///~/a.db", "env": {"A": "~/a", "B": 3}}
    )
    assert function.objective == f"{home}/a.py:f"
    assert function.storage == f"sqlite:///{home}/a.db"
    assert function.env == {"A": f"{home}/a", "B": "3"}


def test_an_unknown_home_in_a_sweep_file_is_one_error_with_its_key(make_sweep: MakeSweep) -> None:
    with pytest.raises(
        sweep.InputError, match=r"demo.yaml:\d+: cwd: ~nobody9: ~nobody9 has no home"
    ) as error:
        sweep.run(make_sweep(LOSS, cwd="~nobody9"), inline=True)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.process
def test_no_command_makes_a_folder_that_is_called_tilde(home: Path, make_sweep: MakeSweep) -> None:
    file = make_sweep(LOSS, env={"DATA": "~/data"}, stop={"trials": 1})
    (home / "demo_objective.py").write_text(LOSS)
    file.rename(home / "demo.yaml")
    call("run", "~/demo.yaml", "--inline", "--runs=~/runs", "--set", "objective=~/demo_objective.py:train")
    call("status", "--runs=~/runs")
    call("trials", "~/runs/demo")
    assert call("best", "demo", "--runs=~/runs", "--format", "json").stdout
    call("debug", "~/runs/demo", "--trial", "0", "--keep=~/kept", "--params=~/demo.yaml", status=2)
    call("debug", "~/runs/demo", "--trial", "0", "--keep=~/kept")
    call("init", "~/demo_objective.py:train", "-o", "~/new.yaml")
    call("check", "~/demo.yaml")
    assert sweep.load("~/runs/demo").trials[0].user_attrs["data"] == f"{home}/data"
    result = sweep.run(
        "~/demo.yaml",
        overrides={"stop.trials": 2, "objective": "~/demo_objective.py:train"},
        runs="~/runs",
        inline=True,
    )
    assert len(result.trials) == 2
    assert {path.name for path in home.iterdir()} >= {"runs", "kept", "new.yaml"}
    assert not [path for path in home.parent.rglob("*") if path.name.startswith("~")]


@pytest.mark.process
def test_a_current_directory_that_is_gone_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = 'rmdir "$PWD"; exec "$@"'
    command = ["bash", "-c", shell, "bash", *sweep_command("status")]
    done = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the current directory is not accessible: No such file or directory; change to another one\n"
    )
