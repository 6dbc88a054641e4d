"""When a sweep starts, it records what it runs on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import optuna
import pytest

import sweep
from sweep.system.directory import SweepDirectory
from sweep.system.environment import Environment, environments, record_environment
from tests.system.test_repeating import wait_for


def git(*arguments: str) -> str:
    names = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", *names, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(project: Path) -> Path:
    git("init", "-q", "-b", "topic/x")
    (project / "train.py").write_text("lr = 1\n")
    (project / ".gitignore").write_text("demo/\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return project


def recorded(directory: SweepDirectory) -> list[Environment]:
    record_environment(directory)
    wait_for(lambda: not (git_state := environments(directory)[-1].git) or git_state.difference is not None)
    return environments(directory)


@pytest.mark.process
def test_the_commit_and_the_uncommitted_changes_are_recorded(
    repository: Path, directory: SweepDirectory
) -> None:
    state = recorded(directory)[-1].git
    assert state is not None
    assert (state.commit, state.branch, state.difference) == (git("rev-parse", "HEAD"), "topic/x", "")
    assert str(state) == f"{git('rev-parse', 'HEAD')[:10]} on topic/x"
    (repository / "train.py").write_text("lr = 2\n")
    (repository / "new.py").touch()
    state = recorded(directory)[-1].git
    assert state is not None
    assert "-lr = 1\n+lr = 2" in (state.difference or "")
    assert state.untracked == ("new.py",)
    assert str(state).endswith(", with uncommitted changes")


@pytest.mark.process
def test_the_commit_is_found_in_packed_references_a_worktree_and_without_a_branch(
    repository: Path, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git("rev-parse", "HEAD")
    git("worktree", "add", "-q", "-b", "other", "tree")
    git("pack-refs", "--all")
    for folder, branch in ((repository, "topic/x"), (repository / "tree", "other")):
        monkeypatch.chdir(folder)
        state = recorded(directory)[-1].git
        assert state is not None
        assert (state.commit, state.branch) == (commit, branch)
    git("checkout", "-q", "--detach")
    state = recorded(directory)[-1].git
    assert state is not None
    assert (state.commit, state.branch) == (commit, None)


@pytest.mark.process
def test_a_resume_on_the_same_code_and_machine_adds_no_record(
    repository: Path, directory: SweepDirectory
) -> None:
    first = recorded(directory)
    record_environment(directory)
    wait_for(lambda: len(environments(directory)) == 1)
    assert environments(directory) == first
    (repository / "train.py").write_text("lr = 2\n")
    assert len(recorded(directory)) == 2


def test_packages_machine_and_folder_are_recorded_without_git(project: Path) -> None:
    sweep.run(lambda trial: 1.0, space={"x": {"min": 0, "max": 1}}, name="s", n_trials=1, inline=True)
    (environment,) = environments(SweepDirectory.of(Path("runs"), "s"))
    assert environment.packages["optuna"] == optuna.__version__
    assert environment.folder == str(project)
    assert environment.git is None
    assert {"host", "system", "CPUs", "memory"} <= environment.machine.keys()


def test_a_sweep_of_an_earlier_version_or_with_a_damaged_record_has_none(directory: SweepDirectory) -> None:
    assert environments(directory) == []
    for text in ("", "[1]", '{"a": 1}', "[{}]"):
        directory.environment.write_text(text)
        assert environments(directory) == []
