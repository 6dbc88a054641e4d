"""The user's code on machines that have the user's folder, and on machines that do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from separate_nodes import SeparateNodes, can_separate

import sweep
from sweep.engine.base import PreparedSweep
from sweep.engine.observer import Observer
from sweep.engine.ray import private_packages
from sweep.engine.ray.user_code import CodeMissing, SentFolder, UserCode, check_runtime_env, locate_code
from sweep.errors import InputError
from sweep.objective.find import find_objective, working_directory
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from tests.commands import call
from tests.conftest import MakeSweep


def prepare(project: Path, runs: str = "runs", **keys: Any) -> PreparedSweep:
    """A sweep in a project with `src/train.py`."""
    (project / "src").mkdir(exist_ok=True)
    (project / "src/train.py").write_text("def train(trial): return 0.0\n")
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "src/train.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"values": [0, 1]}},
            **keys,
        }
    )
    directory = SweepDirectory.of(project / runs, "demo")
    directory.root.mkdir(parents=True, exist_ok=True)
    return PreparedSweep(spec, directory, find_objective(spec, project), project, working_directory(spec))


def code_of(prepared: PreparedSweep) -> UserCode:
    return UserCode(prepared, Mock(spec=Observer))


def copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine: its workers start in a copy of the folder."""
    copy = project.parent / "copy"
    copy.mkdir(exist_ok=True)
    monkeypatch.chdir(copy)
    return copy


def test_a_machine_that_shares_the_file_system_uses_the_folder_itself(project: Path) -> None:
    prepared = prepare(project)
    settings = prepared.attempt_settings
    assert locate_code(settings, True, None) == settings
    assert locate_code(settings, True, SentFolder(project, is_preferred=False)) == settings
    (project / "src/train.py").write_text("def train(trial): return 1.0\n")
    assert locate_code(settings, True, None) == settings, "an edit takes effect in the next worker"


def test_a_machine_without_the_folder_uses_its_copy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = prepare(project).attempt_settings
    copy = copied(project, monkeypatch)
    (project / "src/train.py").unlink()
    with pytest.raises(CodeMissing):
        locate_code(settings, False, None)
    found = locate_code(settings, False, SentFolder(project, is_preferred=False))
    assert found.trial_directory == copy
    assert found.objective.source == str(copy / "src/train.py")  # type: ignore[union-attr]
    assert found.objective.folders == (str(copy / "src"),)  # type: ignore[union-attr]
    assert found.directory == settings.directory


def test_a_machine_with_other_code_in_the_same_folder_uses_its_copy(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = prepare(project).attempt_settings
    copied(project, monkeypatch)
    assert locate_code(settings, False, None) == settings, "the same code, as after rsync"
    (project / "src/train.py").write_text("def train(trial): return 1.0\n")
    with pytest.raises(CodeMissing):
        locate_code(settings, False, None)


def test_a_script_runs_in_the_copy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "run.py").write_text("")
    prepared = prepare(project, objective=None, program="run.py")
    copy = copied(project, monkeypatch)
    found = locate_code(prepared.attempt_settings, False, SentFolder(project, is_preferred=True))
    assert found.objective.program == "run.py"  # type: ignore[union-attr]
    assert found.objective.file == copy / "run.py"  # type: ignore[union-attr]


def test_runs_and_git_and_environments_and_ignored_files_are_not_sent(project: Path) -> None:
    for path in (".git/x", ".venv/x", "runs/old/x", "other/s/sweep.yaml", "data/x", "made/x", "kept/x"):
        (project / path).parent.mkdir(parents=True)
        (project / path).write_bytes(b"0" * 100)
    (project / ".gitignore").write_text("made/\n")
    prepared = prepare(project, runtime_env={"excludes": ["data"]})
    sizes = private_packages.sizes(project, code_of(prepared)._all_excludes(project))
    assert sizes.keys() == {"src", "kept", ".gitignore"}
    assert sizes["kept"] == 100


def test_a_folder_that_is_too_large_is_an_error_before_it_is_sent(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(project)
    (project / "data").mkdir()
    (project / "data/x").write_bytes(b"0" * 3 * 2**20)
    (project / "notes.txt").write_bytes(b"0" * 2**20)
    monkeypatch.setattr(private_packages, "LARGEST", 2 * 2**20)
    monkeypatch.setattr(private_packages, "upload", Mock(side_effect=AssertionError))
    with pytest.raises(InputError) as found:
        code_of(prepared).send()
    assert str(found.value) == (
        f"runtime_env: {project} has 4.0 MB, and at most 2.0 MB can be sent to machines that do not have "
        "this folder; largest: data (3.0 MB); leave out what trials do not need, with "
        "runtime_env: {excludes: [/data]} or in a .gitignore"
    )


def test_the_folder_that_is_sent_contains_the_objective(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (project / "work").mkdir()
    code = code_of(prepare(project, cwd="work"))
    code.send()
    assert code.sent == SentFolder(project, is_preferred=False), "the trials' directory is in it"
    prepared = prepare(project)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    moved = replace(prepared.objective, source=str(elsewhere / "train.py"))  # type: ignore[arg-type]
    prepared = replace(prepared, objective=moved)
    with pytest.raises(InputError, match=f"does not have {elsewhere}/train.py, which is not in {project}"):
        code_of(prepared).send()


def test_the_user_can_choose_the_folder_in_which_workers_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(project, runtime_env={"working_dir": "src"})
    sent = code_of(prepared).sent
    assert sent == SentFolder(project / "src", is_preferred=True)
    copy = copied(project, monkeypatch)
    found = locate_code(prepared.attempt_settings, True, sent)
    assert found.trial_directory == copy
    assert found.objective.source == str(copy / "train.py")  # type: ignore[union-attr]
    monkeypatch.chdir(project)
    (project / "other").mkdir()
    with pytest.raises(InputError, match=f"working_dir: {project}/other does not contain the objective, "):
        code_of(prepare(project, runtime_env={"working_dir": "other"}))


def test_a_folder_with_a_module_called_sweep_is_not_sent(project: Path) -> None:
    prepared = prepare(project)
    (project / "sweep.py").touch()
    with pytest.raises(InputError, match="has another module called sweep"):
        code_of(prepared).send()


def test_without_runtime_env_workers_get_no_options(project: Path) -> None:
    assert code_of(prepare(project)).options() == {}
    env = {"pip": ["x"], "env_vars": {"A": "1"}}
    code = code_of(prepare(project, runtime_env={**env, "working_dir": "s3://a/b.zip"}))
    assert code.options() == {"runtime_env": {**env, "working_dir": "s3://a/b.zip"}}
    assert code.sent == SentFolder(project, is_preferred=True)


@pytest.mark.parametrize(
    ("runtime_env", "message"),
    [
        ({"pipx": ["a"]}, "runtime_env.pipx: is unknown to Ray; did you mean 'pip'?"),
        ({"env_vars": {"A": 1}}, "runtime_env: runtime_env['env_vars'] must be of type Dict[str, str], but"),
        ({"working_dir": "/nowhere"}, "runtime_env: /nowhere is not a valid path."),
        (
            {"py_modules": ["."]},
            "runtime_env.py_modules: Ray takes only URIs for the workers of a sweep;",
        ),
    ],
)
def test_what_ray_rejects_is_one_error(runtime_env: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as found:
        check_runtime_env(runtime_env)
    assert message in str(found.value)


@pytest.mark.ray
@pytest.mark.skipif(not can_separate(), reason="this user cannot create a mount namespace")
def test_a_machine_without_the_folder_imports_the_objective_and_its_modules_from_a_copy(
    make_sweep: MakeSweep, project: Path
) -> None:
    (project / "helper.py").write_text("FACTOR = 2\n")
    (project / ".git").mkdir()
    (project / ".git/HEAD").write_text("ref")
    file = make_sweep(
        """
        import os
        import helper

        def train(trial):
            print(os.getcwd(), sorted(set(os.listdir()) - {"__pycache__"}))
            return helper.FACTOR * trial.params.x
        """,
        stop={"trials": 2},
    )
    with SeparateNodes([project], num_cpus=0) as nodes:
        nodes.add(1, 1)
        done = call("run", file, "--address", nodes.address, env=nodes.env)
    assert "is sent to machines that do not have this folder" in done.stdout
    trials = sweep.load("demo").trials
    assert [trial.value for trial in trials] == [2 * trial.params["x"] for trial in trials]
    folder, _, entries = (project / "runs/demo/trial-0000/output.log").read_text().partition(" ")
    assert folder != str(project)
    assert entries.strip() == "['demo.yaml', 'demo_objective.py', 'helper.py']"
