"""A sweep on Ray whose study is in PostgreSQL: outages, deaths of the controller, and another reader."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

import sweep
from sweep.engine.observer import Observer
from sweep.messages import AttemptResult
from sweep.system.urls import connection_url
from tests.commands import PATIENCE
from tests.conftest import MakeSweep
from tests.engine.ray.test_faults import find, meanwhile, wait_for
from tests.postgres import Postgres

pytestmark = pytest.mark.usefixtures("ray_cluster")

CODE = """
import pathlib
import time

def train(trial):
    while trial.number >= 3 and not pathlib.Path("is-away").exists():
        time.sleep(0.05)
    for step in range(8):
        trial.report(trial.params.x + 1 / (step + 1), step=step)
        time.sleep(0.05)
    return trial.params.x
"""


@contextlib.contextmanager
def optuna_dashboard(url: str) -> Iterator[str]:
    """Optuna's own dashboard of a database; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()"]
    options = ["--server", "wsgiref", "--port", str(port), connection_url(url, Path("none"))]
    with subprocess.Popen(
        [*program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        yield f"http://127.0.0.1:{port}"
        process.kill()


def read_json(url: str) -> Any:
    """The answer to a request, once it is answered: the server may be starting."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_nothing_is_lost_if_the_database_is_away_and_the_controller_dies_meanwhile(
    make_sweep: MakeSweep, project: Path, postgres: Postgres
) -> None:
    url = postgres.create(f"test-{secrets.token_hex(4)}")
    file = make_sweep(CODE, storage=url, stop={"trials": 10}, max_parallel=2)
    notes: list[str] = []
    ended: list[int] = []
    seen: list[dict[str, Any]] = []

    class Watch(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)

        def on_attempt_end(self, attempt_result: AttemptResult) -> None:
            ended.append(attempt_result.number)

    def interfere() -> None:
        wait_for(lambda: len(ended) >= 2)
        with optuna_dashboard(url) as address:
            (study,) = read_json(f"{address}/api/studies")["study_summaries"]
            seen.extend(read_json(f"{address}/api/studies/{study['study_id']}")["trials"])
        postgres.stop()
        try:
            (project / "is-away").touch()
            wait_for(lambda: any("does not answer" in note for note in notes))
            for process in find("ray::RayController", anywhere=False):
                process.kill()
            time.sleep(1)
        finally:
            postgres.start()

    with meanwhile(interfere):
        result = sweep.run(file, observer=Watch())
    assert {trial["state"] for trial in seen} == {"Complete", "Running"}
    assert any("does not answer; running trials continue" in note for note in notes)
    assert any("answers again" in note for note in notes)
    assert not any("s3cr" in note for note in notes)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 10
    assert [trial.attempts for trial in result.trials] == [1] * 10
    assert sorted(ended) == [*range(10)]
    study = optuna.load_study(study_name="demo", storage=connection_url(url, Path("none")))
    assert [trial.number for trial in study.trials] == [*range(10)]
    for trial in study.trials:
        assert sorted(trial.intermediate_values) == [*range(8)]
