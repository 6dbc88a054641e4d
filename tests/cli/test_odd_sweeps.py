"""Every command that reads works on every sweep, with a clear sentence and without a traceback."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from wsgiref.simple_server import WSGIServer
from wsgiref.util import setup_testing_defaults

import pytest

from sweep.analysis.view import SweepView
from sweep.cli.app import app
from sweep.system.directory import SweepDirectory
from tests import odd_sweeps
from tests.cli.test_tensorboard import serve
from tests.commands import call_here

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("odd sweeps")]

COMMANDS = {
    "status": ("status", "{name}"),
    "status --json": ("status", "{name}", "--json"),
    "trials": ("trials", "{name}"),
    "trials --json": ("trials", "{name}", "--json"),
    "trials csv": ("trials", "{name}", "--format", "csv"),
    "explain": ("explain", "{name}"),
    "explain --json": ("explain", "{name}", "--json"),
    "best": ("best", "{name}"),
    "logs": ("logs", "{name}", "0"),
    "logs -f": ("logs", "{name}", "0", "-f", "--tail", "2"),
    "watch": ("watch", "{name}"),
    "importance": ("importance", "{name}"),
    "importance --json": ("importance", "{name}", "--json"),
    "compare": ("compare", "{name}"),
    "compare --json": ("compare", "{name}", "--json"),
    "compare two": ("compare", "{name}", "usual"),
    "compare where": ("compare", "{name}", "--where", "number >= 1"),
    "export csv": ("export", "{name}", "--format", "csv"),
    "export json": ("export", "{name}", "--format", "json"),
    "export parquet": ("export", "{name}", "--format", "parquet", "-o", "{out}/trials.parquet"),
    "export curves": ("export", "{name}", "--format", "csv", "--curves"),
    "report": ("report", "{name}", "-o", "{out}/report.html"),
    "report two": ("report", "{name}", "usual", "-o", "{out}/report.html"),
    "ls": ("ls",),
    "ls --json": ("ls", "--json"),
    **{
        f"plot {kind}": ("plot", kind, "{name}", "-o", "{out}/plot.html")
        for kind in ("history", "curves", "slice", "importances", "parallel-coordinate", "slots", "timeline")
    },
}
PRINTS_JSON = [name for name in COMMANDS if name.endswith("json")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("odd")
    odd_sweeps.make_finished(folder)
    with odd_sweeps.running(folder) as runs:
        yield runs


def _arguments(command: str, name: str, out: Path) -> list[str]:
    arguments = [part.format(name=name, out=out) for part in COMMANDS[command]]
    if command.startswith("logs") and name == "repeats":
        arguments[2] = "0/seed-0"
    return arguments


@pytest.mark.parametrize("command", COMMANDS)
def test_reading_commands_work_on_every_sweep(runs: Path, command: str, tmp_path: Path) -> None:
    is_about_two = "usual" in COMMANDS[command]
    for name in ("empty", "failed", "goals", "repeats", "running") if is_about_two else odd_sweeps.NAMES:
        arguments = _arguments(command, name, tmp_path)
        if (command, name) == ("watch", "running"):  # which it would watch until it has ended
            continue
        done = call_here(*arguments, "--runs", runs)
        says_so = (
            done.stderr if command.startswith("logs") else done.stdout
        )  # a log is what the trial has printed
        assert says_so.strip() or "-o" in arguments, name
        is_data = "csv" in arguments  # in a file or a pipe, not on a terminal
        assert is_data or "\x1b[31m" not in done.stdout, f"{name} prints a control character of a user's text"
        if command in PRINTS_JSON:
            json.loads(done.stdout)
        if "{name}" not in COMMANDS[command]:
            break


@pytest.mark.parametrize("command", [name for name in COMMANDS if "{name}" in COMMANDS[name]])
def test_reading_commands_say_that_there_is_no_such_sweep(runs: Path, command: str, tmp_path: Path) -> None:
    done = call_here(*_arguments(command, "usul", tmp_path), "--runs", runs, status=2)
    assert "usul" in done.stderr
    assert "did you mean 'usual'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_reading_commands_write_nothing_into_a_sweep(runs: Path, tmp_path: Path) -> None:
    directory = SweepDirectory.of(runs, "repeats").root
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    for command in COMMANDS:
        call_here(*_arguments(command, "repeats", tmp_path), "--runs", runs)
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before


def _ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", odd_sweeps.NAMES)
def test_servers_show_every_sweep_until_ctrl_c(
    runs: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without their loops: Ctrl-C is pressed once they would wait for requests."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr("sweep.cli.tensorboard.time.sleep", _ctrl_c)
    monkeypatch.setattr("sweep.cli.tensorboard._start", lambda logdir, host, port: "http://127.0.0.1:6006/")
    answers: dict[str, str] = {}

    def answer(server: WSGIServer) -> None:
        for path in ("/api/studies", "/api/studies/0", "/dashboard/studies/0"):
            environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
            setup_testing_defaults(environ)
            pages = cast("Any", server.get_app())
            assert b"".join(pages(environ, lambda status, *_: answers.update({path: status})))  # noqa: B023
        raise KeyboardInterrupt

    monkeypatch.setattr(WSGIServer, "serve_forever", answer)
    for command in ("tensorboard", "dashboard"):
        app([command, name, "--runs", str(runs), "--no-browser"], standalone_mode=False)
        shown = capsys.readouterr().out
        has_page = command == "tensorboard" or name not in ("empty", "no-trial")
        assert ("http://127.0.0.1" if has_page else f"{name}: has no study yet") in shown
    assert set(answers.values()) <= {"200 OK"}


def test_watch_follows_a_running_sweep_until_ctrl_c(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sweep.cli.watch.time.sleep", _ctrl_c)
    app(["watch", "running", "--runs", str(runs)], standalone_mode=False)
    assert "running continues to run. Watch it again" in capsys.readouterr().out


def test_tensorboard_shows_all_of_them_together(runs: Path) -> None:
    trials = {name: len(SweepView.open(name, runs).frozen_trials) for name in odd_sweeps.NAMES}
    with serve(*odd_sweeps.NAMES, "--runs", str(runs)) as (board, _):
        rows = board.wait_for_rows(sum(trials.values()))
    assert Counter(row["name"].split("/")[0] for row in rows) == {k: n for k, n in trials.items() if n}
