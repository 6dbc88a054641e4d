"""`sweep dashboard`: optuna-dashboard shows a sweep and cannot change it."""

from __future__ import annotations

import json
import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.cli.app import app
from sweep.errors import InputError
from tests.commands import sweep_command
from tests.terminal import Terminal

pytest.importorskip("optuna_dashboard")
pytestmark = pytest.mark.usefixtures("project")


def train(trial: sweep.Trial) -> float:
    trial.report(trial.params.x, 0)
    return trial.params.x  # type: ignore[no-any-return]


def run(name: str = "demo") -> sweep.SweepResult:
    return sweep.run(
        train, name=name, space={"x": {"min": 0.0, "max": 1.0}}, n_trials=4, inline=True, progress=False
    )


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The command handles SIGTERM, and some tests run it in this process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def served() -> Iterator[tuple[sweep.SweepResult, str]]:
    """A sweep, and the address of its dashboard."""
    from sweep.rendering.dashboard import make_dashboard

    result = sweep.load(run().directory)
    server, url = make_dashboard(result.study, None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield result, url
    server.shutdown()
    server.server_close()


def ask(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read()


def test_it_shows_the_trials_of_the_sweep(served: tuple[sweep.SweepResult, str]) -> None:
    result, url = served
    assert b"<html" in ask(url)
    study = json.loads(ask(url.replace("/dashboard/", "/api/")))
    assert [trial["values"][0] for trial in study["trials"]] == [row.value for row in result.trials]
    assert study["best_trials"][0]["number"] == result.best_trial.number


def test_it_cannot_change_the_sweep(served: tuple[sweep.SweepResult, str]) -> None:
    result, url = served
    api = url.replace("/dashboard/", "/api/")
    before = {path: path.stat().st_mtime_ns for path in result.directory.rglob("*")}
    for method, place in (("PUT", f"{api}/note"), ("DELETE", api), ("POST", f"{api}/rename")):
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            ask(place, method, {"body": "note", "version": 1, "study_name": "other"})
        assert "read-only" in json.load(refused.value)["reason"]
    assert before == {path: path.stat().st_mtime_ns for path in result.directory.rglob("*")}


def test_a_port_that_is_in_use_is_one_error(served: tuple[sweep.SweepResult, str]) -> None:
    port = re.findall(r":(\d+)/", served[1])[0]
    with pytest.raises(InputError, match=rf"--port {port}: Address already in use; choose another port"):
        app(["dashboard", "demo", "--port", port], standalone_mode=False)


def test_a_sweep_without_a_study_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    directory = run().directory
    Path(directory, "journal.log").unlink()
    capsys.readouterr()
    app(["dashboard", "demo"], standalone_mode=False)
    assert capsys.readouterr().out == "demo: has no study yet\n"


@pytest.mark.process
def test_it_prints_its_address_and_ends_quietly_with_ctrl_c() -> None:
    run()
    command = sweep_command("dashboard", "demo", "--no-browser")
    with Terminal(command, SSH_CONNECTION="10.0.0.1 5 10.0.0.2 22") as terminal:
        terminal.wait_for(r"ssh -N -L (\d+):localhost:\1 \S+@10\.0\.0\.2")
        terminal.wait_for(r"http://127.0.0.1:\d+/dashboard/studies/\d+ +\(Ctrl-C stops it\)")
        terminal.press_ctrl_c()
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.text
