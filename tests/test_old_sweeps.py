"""Sweeps that version 0.1.0 left behind can still be read and resumed; see `tests/data/sweep-0.1.0`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import optuna
import pytest

from tests.commands import call
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.process


OLD = REPOSITORY / "tests" / "data" / "sweep-0.1.0"
SWEEPS = ["plain", "repeated"]


@pytest.fixture
def old(project: Path) -> Path:
    """A copy of the project in which the sweeps were killed."""
    shutil.copytree(OLD, project, dirs_exist_ok=True)
    return project


def rows(name: str) -> list[dict[str, object]]:
    """What `sweep trials` prints."""
    return json.loads(call("trials", name, "--format", "json").stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", SWEEPS)
def test_an_old_sweep_is_read_as_the_version_that_wrote_it_read_it(name: str, old: Path) -> None:
    then = json.loads((old / f"{name}.json").read_text())
    for row in then:
        row["dir"] = str(old / row["dir"])
    assert rows(name) == then


@pytest.mark.parametrize("name", SWEEPS)
def test_the_best_trial_of_an_old_sweep_is_found(name: str, old: Path) -> None:
    status = json.loads(call("status", name, "--json").stdout)
    assert status["state"] == "interrupted"
    complete = [row for row in json.loads((old / f"{name}.json").read_text()) if row["state"] == "COMPLETE"]
    best = min(complete, key=lambda row: row["value"])
    assert (status["best"]["number"], status["best"]["value"]) == (best["number"], best["value"])
    assert json.loads(call("best", name, "--format", "json").stdout) == best["params"]
    call("best", name, "--artifact", "note.txt", "--output", "best.txt")
    assert (old / "best.txt").read_text() == f"trial {best['number']} began at step 0\n"


def test_an_old_sweep_is_resumed_where_it_was_killed(old: Path) -> None:
    before = rows("plain")
    done = call("run", "space.yaml", "--inline")
    assert "changed" not in done.stdout + done.stderr, "the objective is the same"
    after = {row["number"]: row for row in rows("plain")}
    assert [row for row in after.values() if row["number"] in range(6)] == before[:6]
    assert (after[6]["state"], after[6]["attempts"]) == ("COMPLETE", 2)
    note = old / "runs" / "plain" / "trial-0006" / "artifacts" / "note.txt"
    assert note.read_text() == "trial 6 began at step 2\n", "it resumes from its checkpoint"
    assert after[7]["params"] == after[1]["params"], "the failed trial runs again"
    assert after[8]["params"]["lr"] == 0.003, "the enqueued configuration runs"
    assert len(after) == 11, "ten trials, and the one that runs again"


def test_old_repeats_are_resumed(old: Path) -> None:
    before = rows("repeated")
    call("run", "repeated.yaml", "--inline")
    after = rows("repeated")
    assert after[:3] == before[:3]
    assert (after[3]["state"], after[3]["attempts"]) == ("COMPLETE", 2)
    assert None not in after[3]["repeats"]
    assert len(after) == 4


def test_optuna_opens_an_old_journal_as_before(old: Path) -> None:
    backend = optuna.storages.journal.JournalFileBackend(str(old / "runs" / "plain" / "journal.log"))
    study = optuna.load_study(study_name="plain", storage=optuna.storages.JournalStorage(backend))
    assert len(study.trials) == 9
    call("run", "space.yaml", "--inline")
    assert study.best_trial.number == json.loads(call("status", "plain", "--json").stdout)["best"]["number"]
