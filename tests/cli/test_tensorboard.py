"""`sweep tensorboard`: several sweeps at once, the browser, and the way there over SSH."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import sweep
from sweep.rendering import combined_logdir
from sweep.rendering.combined_logdir import CombinedLogdir
from tests.commands import PATIENCE, call, sweep_command
from tests.tensorboard_client import TensorBoard, hparams, logged_metrics, tensorboard


def objective(trial: sweep.Trial) -> float:
    (value,) = trial.params.values()
    trial.report(2 * value, 0)
    trial.report(value, 1)
    return float(value)


def run(name: str, trials: int, parameter: str = "x", runs: Path = Path("runs")) -> sweep.SweepResult:
    space = {parameter: {"min": 0.0, "max": 1.0}}
    return sweep.run(
        objective, space=space, n_trials=trials, name=name, runs=runs, inline=True, progress=False
    )


@contextmanager
def serve(*arguments: str, env: Mapping[str, str | None] | None = None) -> Iterator[tuple[TensorBoard, str]]:
    """A running `sweep tensorboard`, and what it has printed until its address."""
    environment = {**os.environ, **(env or {})}
    process = subprocess.Popen(
        sweep_command("tensorboard", *arguments, "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in environment.items() if value is not None},
    )
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if found := re.search(r"http://127\.0\.0\.1:\d+(?=/#hparams)", line):
                yield TensorBoard(found[0]), printed
                break
        else:
            raise RuntimeError(printed)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.process
def test_several_sweeps_are_shown_together(project: Path) -> None:
    results = [run("first", 3), run("second", 2, "y")]
    before = _temporary()
    with serve("first", "runs/second") as (board, _):
        rows = {row["name"]: row for row in board.wait_for_rows(5)}
        experiment = board.experiment()
        leaderboards = [board.texts(name, "leaderboard") for name in ("first", "second")]
        created = {  # other tests may show sweeps at the same time
            path
            for path in _temporary() - before
            if (path / "first" / "trial-0000").resolve().is_relative_to(project.resolve())
        }
    assert len(created) == 1
    assert not _temporary() & created, "Ctrl-C removes the log directory"
    for result in results:
        for trial in result.trials:
            row = rows.pop(f"{result.directory.name}/t{trial.number:04d}")
            assert hparams(row) == pytest.approx(trial.params)
            assert logged_metrics(row) == pytest.approx(trial.metrics, rel=1e-6)
    assert rows == {}
    assert {info["name"] for info in experiment["hparamInfos"]} == {"x", "y"}
    assert all(len(texts) == 1 for texts in leaderboards)


def _temporary() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("sweep-tensorboard-*"))


@pytest.mark.process
@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_trials_of_running_sweeps_appear(project: Path, monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(combined_logdir, "_INTERVAL", 0.2)
    roots = {name: run(name, 2).directory for name in ("first", "second")}
    with CombinedLogdir(roots) as logdir, tensorboard(logdir, fast) as board:
        assert len(board.wait_for_rows(4)) == 4
        run("second", 4)
        assert len(board.wait_for_rows(6)) == 6
        end = time.monotonic() + 60
        while "after 4 finished trials" not in board.texts("second", "leaderboard")[-1]:
            assert time.monotonic() < end
            time.sleep(0.2)
    assert not logdir.exists()
    assert len(list(roots["first"].glob("trial-*/*tfevents*"))) == 2, "the sweeps are as before"


@pytest.mark.process
def test_sweeps_with_one_name_are_refused(project: Path) -> None:
    run("demo", 1)
    run("demo", 1, runs=Path("other"))
    done = call("tensorboard", "demo", "other/demo", status=2)
    assert "has the name 'demo' too" in done.stderr
    call("tensorboard", "demo", "missing", status=2)


@pytest.mark.process
def test_a_browser_is_opened_on_a_desktop(project: Path) -> None:
    run("demo", 1)
    browser = project / "browser"
    browser.write_text('#!/bin/sh\necho "$1" >>opened\n')
    browser.chmod(0o755)
    opened = project / "opened"
    desktop = {"DISPLAY": ":9", "BROWSER": f"{browser} %s", "SSH_CONNECTION": None}
    with serve("demo", "--no-browser", env=desktop):
        pass
    assert not opened.exists()
    with serve("demo", env=desktop) as (board, _):
        end = time.monotonic() + 60
        while not opened.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
    assert opened.read_text() == f"{board.url}/#hparams\n"


@pytest.mark.process
def test_over_ssh_the_command_says_how_to_forward_the_port(project: Path) -> None:
    run("demo", 1)
    env = {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 2222", "DISPLAY": ":9", "LOGNAME": "ann"}
    with serve("demo", env=env) as (board, printed):
        port = board.url.rpartition(":")[2]
    assert f"ssh -N -L {port}:localhost:{port} -p 2222 ann@10.0.0.2\n" in printed


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--host", "192.0.2.1"], "Cannot assign requested address"),
        (["--port", "99999"], "99999 > 65535"),
        (["--port", "-5"], "port must be 0-65535"),
    ],
)
def test_a_host_or_a_port_that_cannot_be_used_is_one_error_with_the_cause(
    project: Path, options: list[str], why: str
) -> None:
    run("demo", 1)
    said = call("tensorboard", "demo", "--no-browser", *options, status=2).stderr
    (error,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert " ".join(options) in error
    assert why in error
