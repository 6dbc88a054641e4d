"""Ray on systems without a home directory, or with temporary folders that it cannot use."""

from __future__ import annotations

import os
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


def test_a_folder_that_ray_can_use_is_left_to_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_SOCKET_PATH", 1000)
    for variable in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
        with temporary_folder() as folder:
            assert folder is None


@pytest.mark.parametrize(
    "value", ["", "relative", "/proc/nonexistent", "/proc", "/dev/null", f"/tmp/{TOO_LONG}"]
)
def test_ray_gets_a_private_folder_if_it_cannot_use_the_temporary_one(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", value)
    with temporary_folder() as folder:
        assert folder is not None
        assert len(f"{folder}/session_2026-11-29_00-34-58_024111_4194304/sockets/plasma_store") <= 103
        assert os.stat(folder).st_mode & 0o077 == 0, "only this user can read it"
    assert not Path(folder).exists()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("relative", "is not an absolute path"),
        ("/dev/null", "is not a directory"),
        (f"/tmp/{TOO_LONG}", "is too long for Ray's sockets, by 26 characters"),
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
    env = {"HOME": str(tmp_path / "home"), "TMPDIR": str(folder), "RAY_ADDRESS": "", "RAY_AUTH_MODE": "token"}
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
