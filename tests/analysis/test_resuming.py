"""The commands that messages name for a sweep, also after its directory was moved or copied."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sweep.analysis.resuming import name_for_commands, store_caller, stored_caller
from sweep.caller import Caller, CommandLine, PythonCall, called_by
from sweep.system.directory import SweepDirectory
from sweep.system.remote.store import runs_path

COMMAND = CommandLine(["run", "usual.yaml", "-p", "2"])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the sweep was started."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def usual(project: Path) -> SweepDirectory:
    return started(COMMAND, Path("runs"))


def started(caller: Caller, runs: Path) -> SweepDirectory:
    """The directory of a sweep that was started in the current folder."""
    directory = SweepDirectory.of(runs, "usual")
    directory.root.mkdir(parents=True)
    with called_by(caller):
        store_caller(directory)
    return directory


def copied(directory: SweepDirectory, to: Path) -> SweepDirectory:
    shutil.copytree(directory.root, to)
    return SweepDirectory(to.resolve())


def resume(directory: SweepDirectory) -> str:
    return stored_caller(directory).again()


def test_a_sweep_in_its_place_is_resumed_as_it_was_started(
    usual: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    assert resume(usual) == "sweep run usual.yaml -p 2"
    monkeypatch.chdir(tmp_path)
    assert resume(usual) == f"cd {project} && sweep run usual.yaml -p 2"


def test_a_copy_is_resumed_and_not_the_original(
    usual: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    copy = copied(usual, Path("archive/usual"))
    assert resume(copy) == "sweep run usual.yaml -p 2 --runs archive"
    assert resume(copied(usual, Path("runs/a copy"))) == "sweep run usual.yaml -p 2 --name 'a copy'"
    monkeypatch.chdir(tmp_path)
    assert resume(copy) == f"cd {project} && sweep run usual.yaml -p 2 --runs archive"


def test_a_copy_of_a_sweep_outside_runs_is_resumed(project: Path) -> None:
    elsewhere = started(CommandLine(["run", "usual.yaml", "--runs", str(project / "x")]), Path("x"))
    assert resume(copied(elsewhere, Path("y/usual"))) == "sweep run usual.yaml --runs y"
    assert resume(copied(elsewhere, Path("runs/usual"))) == "sweep run usual.yaml"


def test_a_sweep_that_was_moved_with_its_folder_is_resumed_there(
    usual: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    place = usual.root.relative_to(project)
    (project / "usual.yaml").touch()
    shutil.copytree(project, tmp_path / "other")
    there = SweepDirectory(tmp_path / "other" / place)
    monkeypatch.chdir(tmp_path / "other")
    assert resume(there) == "sweep run usual.yaml -p 2"
    (tmp_path / "other/usual.yaml").rename(tmp_path / "other/else.yaml")
    assert resume(there) == f"cd {project} && sweep run usual.yaml -p 2 --runs {there.root.parent}"
    shutil.rmtree(project)
    monkeypatch.chdir(tmp_path)
    assert resume(there) == f"cd {tmp_path}/other && sweep run usual.yaml -p 2"
    alone = copied(there, tmp_path / "inbox" / "usual")
    assert resume(alone) == "sweep run usual.yaml -p 2 --runs inbox"


def test_a_sweep_in_an_object_store_is_in_its_place_on_every_machine(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "memory://bucket/runs"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a"))
    here = started(CommandLine(["run", "usual.yaml", "--runs", url]), runs_path(url))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    there = copied(here, runs_path(url) / "usual")
    assert resume(there) == f"sweep run usual.yaml --runs {url}"
    assert resume(copied(here, Path("runs/usual"))) == "sweep run usual.yaml"


def test_a_call_in_python_says_where_a_copy_is(project: Path) -> None:
    called = started(PythonCall("train", "usual"), Path("runs"))
    assert resume(called) == "sweep.run(train, ..., name='usual')"
    assert resume(copied(called, Path("archive/usual"))) == (
        "sweep.run(train, ..., name='usual', runs='archive')"
    )


def test_a_sweep_that_did_not_record_its_directory_is_resumed_as_it_was_started(
    usual: SweepDirectory,
) -> None:
    content = json.loads(usual.command.read_text())
    del content["place"]
    usual.command.write_text(json.dumps(content))
    assert resume(copied(usual, Path("archive/usual"))) == "sweep run usual.yaml -p 2"


def test_the_name_for_commands_is_quoted(project: Path) -> None:
    assert name_for_commands(SweepDirectory.of(Path("runs"), "my sweep")) == "'my sweep'"
    assert name_for_commands(SweepDirectory.of(Path("old runs"), "usual")) == "'old runs/usual'"
