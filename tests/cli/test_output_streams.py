"""Output that cannot be written, or not in its encoding: no command shows a traceback, and no sweep ends."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.cli import main
from sweep.sweepfile.yaml import read_value
from tests.commands import PATIENCE, sweep_command
from tests.conftest import MakeSweep

CODE = """
import sys

def train(trial):
    print("größer ∑ \\udce9")
    print("größer ∑ \\udce9", file=sys.stderr)
    sys.stdout.flush()
    trial.report(0.5, 0)
    return len(trial.params["opté"])
"""
KEYS: dict[str, Any] = {
    "metric": {"name": "loss∑", "goal": "minimize"},
    "parameters": {"opté": {"values": ["größe∑"]}, "x": {"min": 0.0, "max": 1.0}},
    "stop": {"trials": 2},
}
READING = [
    "status",
    "status demo",
    "status demo --json",
    "trials demo",
    "trials demo --format csv",
    "trials demo --format json",
    "best demo",
    "best demo --format json",
    "check demo.yaml",
    "check demo.yaml --json",
    "init demo_objective.py -o -",
    "schema",
    "--help",
    "trials --help",
]
RUNNING = ["run demo.yaml --inline --fresh", "run demo.yaml --inline --fresh --quiet", "debug demo.yaml"]


@pytest.fixture
def demo(make_sweep: MakeSweep) -> Path:
    file = make_sweep(CODE, **KEYS)
    sweep.run(file, inline=True, progress=False)
    return file


class Broken(io.RawIOBase):
    """A stream that cannot be written."""

    def __init__(self, number: int, after: int) -> None:
        self._number = number
        self._after = after

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._after -= 1
        if self._after < 0:
            raise OSError(self._number, os.strerror(self._number))
        return len(data)


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def broken(number: int, after: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(Broken(number, after), 64), encoding="utf-8", write_through=True
    )


def written(file: io.TextIOWrapper) -> str:
    file.flush()
    data = file.buffer.getvalue()  # type: ignore[attr-defined]
    return str(data.decode(file.encoding))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any, Any], int]:
    """Runs a command in this process with given streams; returns its exit status."""
    monkeypatch.setattr(gc, "freeze", lambda: None)

    def run(line: str, stdout: Any, stderr: Any) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["sweep", *line.split()])
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "stderr", stderr)
            with pytest.raises(SystemExit) as exited:
                main()
        assert isinstance(exited.value.code, int)
        return exited.value.code

    return run


@pytest.mark.parametrize("line", READING + RUNNING)
@pytest.mark.usefixtures("demo")
def test_every_command_prints_to_every_stream(line: str, command: Callable[[str, Any, Any], int]) -> None:
    for encoding in ("ascii", "latin-1", "utf-8"):
        out, err = stream(encoding), stream(encoding)
        assert command(line, out, err) == 0, written(err)
        assert written(out) or "--quiet" in line
        assert "Traceback" not in written(err)
        if "json" in line:
            json.loads(written(out))
    for number, after in ((errno.EPIPE, 0), (errno.EPIPE, 1), (errno.ENOSPC, 0)):
        err = stream("utf-8")
        status = command(line, broken(number, after), err)
        if line in RUNNING:
            assert status == 0, "the trials count"
        else:
            assert status == 1 or (status == 0 and after), "the output counts; it can be a single write"
        assert "Traceback" not in written(err)
        if status == 1:
            message = f"error: stdout cannot be written: {os.strerror(number)}\n"
            assert written(err) == ("" if number == errno.EPIPE else message)
        assert command(line, broken(number, after), broken(number, after)) == status


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.usefixtures("demo")
def test_data_that_the_encoding_does_not_have_is_read_back_equal(
    encoding: str, command: Callable[[str, Any, Any], int]
) -> None:
    for form, read in (("json", json.loads), ("yaml", read_value)):
        out = stream(encoding)
        assert command(f"best demo --format {form}", out, stream(encoding)) == 0
        assert read(written(out))["opté"] == "größe∑"
    err = stream(encoding)
    assert command("best demo --format args", stream(encoding), err) == 1
    assert "set PYTHONIOENCODING=utf-8" in written(err)


@pytest.mark.usefixtures("demo")
def test_an_error_keeps_its_status_if_it_cannot_be_printed(
    command: Callable[[str, Any, Any], int],
) -> None:
    for line in ("status nope", "run nope.yaml", "trials", "nope", "check demo.yaml --set größe=1"):
        assert command(line, stream("ascii"), broken(errno.EPIPE, 0)) == 2
        assert command(line, stream("ascii"), stream("ascii")) == 2


STREAMS = {
    "ascii": lambda: stream("ascii"),
    "latin-1": lambda: stream("latin-1"),
    "a broken pipe": lambda: broken(errno.EPIPE, 1),
    "a full disk": lambda: broken(errno.ENOSPC, 1),
    "a closed file": lambda: stream("utf-8"),
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("inline", [True, pytest.param(False, marks=pytest.mark.ray)])
def test_a_sweep_is_complete_whatever_stdout_is(
    kind: str,
    inline: bool,
    make_sweep: MakeSweep,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if not inline:
        request.getfixturevalue("ray_cluster")
    file = make_sweep(CODE, **KEYS)

    class Printing(sweep.Callback):
        def on_trial_end(self, trial: Any) -> None:
            print("größer ∑")

    out = STREAMS[kind]()
    if kind == "a closed file":
        out.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        result = sweep.run(file, inline=inline, progress=True, callbacks=[Printing()])
        assert sys.stdout is out
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 2
    assert "größer ∑ \\udce9" in Path("runs/demo/trial-0001/output.log").read_text(encoding="utf-8")


@pytest.mark.process
@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "| true", ">/dev/full 2>&1"])
def test_a_sweep_is_complete_without_standard_streams(redirection: str, make_sweep: MakeSweep) -> None:
    file = make_sweep(CODE, **KEYS)
    shell = f'"$@" {redirection}\nexit ${{PIPESTATUS[0]}}'
    line = ["bash", "-c", shell, "bash", *sweep_command("run", file, "--inline")]
    done = subprocess.run(line, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    view = sweep.load("demo")
    assert [trial.state for trial in view.trials] == ["COMPLETE"] * 2
    journal = Path("runs/demo/journal.log").read_text()
    assert all(line.startswith("{") for line in journal.splitlines())


@pytest.mark.process
@pytest.mark.parametrize("line", ["status demo", "trials demo --format csv"])
@pytest.mark.usefixtures("demo")
def test_closed_streams_are_no_error(line: str) -> None:
    shell = '"$@" >&- 2>&- <&-'
    command = ["bash", "-c", shell, "bash", *sweep_command(*line.split())]
    assert subprocess.run(command, timeout=PATIENCE, check=False).returncode == 0
