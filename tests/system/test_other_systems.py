"""Systems that are not Linux, such as a laptop with macOS: what Linux has is hidden."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import sweep
from sweep.engine.observer import Observer
from sweep.launch import LaunchOptions, _notes
from sweep.objective.find import find_objective
from sweep.sweepfile import read_sweep_file
from sweep.system import lock, processes
from tests.conftest import MakeSweep

LOSS_IS_X = "def train(trial):\n    trial.report(trial.params.x, 0)\n    return trial.params.x\n"
SCRIPT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", ""])
print('{"step": 0, "loss": 0.5}')
"""


class Notes(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def raising(error: Exception) -> Any:
    def function(*_: Any, **__: Any) -> Any:
        raise error

    return function


@pytest.fixture(params=["macOS", "no process table"])
def _not_linux(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(processes, "_prctl_function", None)
    for name in ("waitid", "P_ALL", "WEXITED", "WNOWAIT", "sched_getaffinity", "pidfd_open"):
        monkeypatch.delattr(os, name, raising=False)
    hidden = ("/proc", "/dev/fd") if request.param == "no process table" else ("/proc",)
    listdir, isdir, opened = os.listdir, os.path.isdir, open

    def is_hidden(path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(hidden)

    def hiding(function: Any, otherwise: Any) -> Any:
        return lambda path=".", *rest, **more: (
            otherwise(path) if is_hidden(path) else function(path, *rest, **more)
        )

    monkeypatch.setattr(os, "listdir", hiding(listdir, raising(FileNotFoundError(errno.ENOENT, "hidden"))))
    monkeypatch.setattr(os.path, "isdir", hiding(isdir, lambda _: False))
    if request.param == "no process table":
        missing = raising(psutil.NoSuchProcess(0))
        monkeypatch.setattr(psutil, "process_iter", raising(FileNotFoundError(errno.ENOENT, "/proc")))
        monkeypatch.setattr(psutil, "Process", missing)
        monkeypatch.setattr(
            "builtins.open", hiding(opened, raising(FileNotFoundError(errno.ENOENT, "hidden")))
        )


@pytest.mark.process
@pytest.mark.usefixtures("_not_linux")
def test_functions_and_scripts_run_inline_and_are_read(make_sweep: MakeSweep, project: Path) -> None:
    result = sweep.run(make_sweep(LOSS_IS_X), inline=True)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 6
    assert sweep.load("demo").best_value == result.best_value
    (project / "train.py").write_text(SCRIPT)
    script = make_sweep("", name="script", objective=None, program="train.py", stop={"trials": 2})
    assert [trial.value for trial in sweep.run(script, inline=True).trials] == [0.5, 0.5]


@pytest.mark.usefixtures("_not_linux")
def test_the_ray_engine_says_in_one_line_what_it_cannot_promise(make_sweep: MakeSweep) -> None:
    file = make_sweep(LOSS_IS_X)
    spec = read_sweep_file(file).spec
    objective = find_objective(spec, file.parent)
    (note,) = _notes(spec, objective, LaunchOptions(Path("runs")))
    assert "on this system (darwin) processes that a trial leaves in the background can survive it" in note
    assert "\n" not in note
    assert _notes(spec, objective, LaunchOptions(Path("runs"), inline=True)) == []


def test_linux_has_all_guarantees() -> None:
    assert processes.missing_guarantees() == ""


def test_only_files_that_are_surely_written_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS psutil does not know the mode: `tail -f output.log` must not be killed."""

    class Process:
        def open_files(self) -> list[Any]:
            return [type("OpenFile", (), {"path": "output.log", "fd": 3})()]

    assert processes.files_open_for_writing(Process()) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_noted_and_used(
    number: int, make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", raising(OSError(number, os.strerror(number))))
    notes = Notes()
    result = sweep.run(make_sweep(LOSS_IS_X), inline=True, observer=notes)
    assert len(result.trials) == 6
    assert [note for note in notes.notes if "has no file locks" in note]
    assert not lock.is_locked(Path("runs/demo/.lock"))
    assert not sweep.load("demo")._view.is_running


@pytest.mark.process
def test_a_child_that_is_not_waited_for_is_found_without_waitid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "waitid")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in {process.pid for process in processes.descendants()}
    finally:
        child.kill()
        child.wait()
