"""Ray on systems without a home directory, or with temporary folders that it cannot use."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import sweep
from sweep.engine.ray import temporary
from sweep.engine.ray.temporary import temporary_folder
from tests.commands import call
from tests.conftest import MakeSweep

TOO_LONG = "x" * 60


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("TMPDIR", raising=False)


def test_ray_gets_a_folder_that_only_this_user_can_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_SOCKET_PATH", 1000)
    for variable, parent in (("TMPDIR", tmp_path), ("RAY_TMPDIR", tmp_path / "new")):
        monkeypatch.setenv(variable, str(parent))
        with temporary_folder() as folder:
            private = Path(folder).parent  # Ray makes the folder that it is given writable for everybody
            assert private.parent == parent
            assert private.stat().st_mode & 0o077 == 0
        assert not private.exists()


@pytest.mark.parametrize(
    "value", ["", "relative", "/proc/nonexistent", "/proc", "/dev/null", f"/tmp/{TOO_LONG}"]
)
def test_ray_gets_a_private_folder_if_it_cannot_use_the_temporary_one(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", value)
    with temporary_folder() as folder:
        assert len(f"{folder}/session_2026-11-29_00-34-58_024111_4194304/sockets/plasma_store") <= 103
        assert Path(folder).parent.stat().st_mode & 0o077 == 0, "only this user can enter it"
    assert not Path(folder).parent.exists()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("relative", "is not an absolute path"),
        ("/dev/null", "is not a directory"),
        (f"/tmp/{TOO_LONG}", "is too long for Ray's sockets, by 37 characters"),
    ],
)
def test_a_folder_that_is_named_for_ray_and_cannot_be_used_is_an_error(
    value: str, problem: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary, "_SOCKET_PATH", 107)
    monkeypatch.setenv("RAY_TMPDIR", value)
    with pytest.raises(sweep.InputError, match=f"RAY_TMPDIR={value}: {problem}"):
        temporary_folder()


def test_without_any_folder_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_FALLBACKS", ("/proc", "/proc/nonexistent"))
    monkeypatch.setenv("TMPDIR", "/proc")
    with pytest.raises(sweep.InputError, match="set RAY_TMPDIR to a folder with a short path"):
        temporary_folder()


@pytest.mark.ray
def test_a_sweep_runs_without_home_and_with_a_long_temporary_folder(
    make_sweep: MakeSweep, tmp_path: Path
) -> None:
    code = "import tempfile\n\ndef train(trial):\n    return float(len(tempfile.gettempdir()))\n"
    folder = tmp_path / TOO_LONG
    folder.mkdir()
    # The address of a cluster that other tests use would be joined.
    env = {"HOME": str(tmp_path / "home"), "TMPDIR": str(folder), "RAY_ADDRESS": ""}
    call("run", make_sweep(code, stop={"trials": 1}), env=env)
    assert sweep.load("demo").best_value == len(str(folder)), "the trial has the user's folder"
    assert not (tmp_path / "home").exists()


def test_objects_are_in_a_file_if_shared_memory_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert temporary.object_store_folder(None) is None
    monkeypatch.setattr(temporary, "_SHARED_MEMORY", Path("/proc"))
    assert temporary.object_store_folder("/tmp/ray-1") == "/tmp/ray-1"
    assert temporary.object_store_folder(None) == tempfile.gettempdir()
