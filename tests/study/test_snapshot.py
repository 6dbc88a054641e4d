"""Snapshots of a running sweep: written by a thread beside it, and whole whenever somebody reads them."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweep.controller.controller import Controller
from sweep.messages import Outcome, Report
from sweep.study import snapshot
from sweep.study.journal import Journal
from sweep.study.snapshot import read_snapshot
from sweep.study.storage import IndexedJournalStorage
from sweep.system.directory import SweepDirectory
from tests.controller.test_controller import make_spec
from tests.study.test_replay import X, by_state, read_by_optuna, read_by_us


def finish_trials(controller: Controller, count: int) -> None:
    for _ in range(count):
        assignment = controller.next_step(None).assignment
        assert assignment is not None
        controller.report(assignment.number, 1, [Report(0, 1.0)])
        controller.finish(Outcome(assignment.number, 1, "returned", 1.0))


def covered(directory: SweepDirectory) -> int:
    """How many trials the snapshot contains."""
    found = read_snapshot(directory.snapshot, directory.journal)
    return 0 if found is None else len(found.trials)


def test_a_running_sweep_writes_a_snapshot_each_time_its_journal_has_grown_by_a_share(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = Controller(make_spec(stop={"trials": 200}), directory, slots=1)
    finish_trials(controller, 3)
    assert covered(directory) == 0
    storage = controller._sweep_study._storage
    assert storage is not None
    monkeypatch.setattr("sweep.study.storage._SNAPSHOT_AFTER", directory.journal.stat().st_size)
    sizes = []
    for _ in range(60):
        finish_trials(controller, 1)
        if storage._writer is not None:
            storage._writer.join()
        sizes.append(covered(directory))
    written = sorted(set(sizes))
    assert written[0] >= 3
    assert 63 / 1.5 <= written[-1] <= 63
    assert all(b >= 1.2 * a for a, b in pairwise(written))


class Gate:
    """Holds the thread that writes a snapshot after the first part of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_reached = threading.Event()
        self.is_open = threading.Event()
        monkeypatch.setattr(snapshot, "pickle", self)
        self.Unpickler, self.UnpicklingError = pickle.Unpickler, pickle.UnpicklingError

    def dumps(self, data: Any) -> bytes:
        if self.is_reached.is_set():
            self.is_open.wait()
        self.is_reached.set()
        return pickle.dumps(data)


def test_while_a_snapshot_is_written_the_sweep_goes_on_and_readers_use_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, path = tmp_path / "journal.log", tmp_path / ".snapshot"
    monkeypatch.setattr("sweep.study.storage._SNAPSHOT_AFTER", 1)
    storage = IndexedJournalStorage(Journal(journal), path)
    study = optuna.create_study(study_name="s", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    storage.write_snapshot()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    running = study.ask(X)
    expected = by_state(read_by_optuna(tmp_path))

    gate = Gate(monkeypatch)
    storage.write_snapshot_if_due()
    gate.is_reached.wait()
    found = read_snapshot(path, journal)
    assert found is not None
    assert len(found.trials) == 3
    assert by_state(read_by_us(tmp_path)) == expected
    running.report(1.0, 0)
    study.tell(running, 1.0)
    storage.write_snapshot_if_due()  # one at a time
    assert by_state(read_by_us(tmp_path)) == by_state(read_by_optuna(tmp_path))

    gate.is_open.set()
    assert storage._writer is not None
    storage._writer.join()
    found = read_snapshot(path, journal)
    assert found is not None
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 6 + ["RUNNING"]
    assert found.trials[-1].intermediate_values == {}
    assert by_state(read_by_us(tmp_path)) == by_state(read_by_optuna(tmp_path))


@pytest.mark.process
def test_a_sweep_that_is_killed_while_it_writes_a_snapshot_opens(tmp_path: Path) -> None:
    code = f"""
        import os, pickle, signal
        from pathlib import Path
        from sweep.study import snapshot
        from tests.study.test_replay import open_study

        study, storage = open_study(Path({str(tmp_path)!r}))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        storage.write_snapshot()
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=300)

        class Killing:
            parts = 0

            def dumps(self, data):
                self.parts += 1
                if self.parts == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                return pickle.dumps(data)

        snapshot.pickle = Killing()
        storage.write_snapshot()
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / ".snapshot.tmp").exists()
    found = read_snapshot(tmp_path / ".snapshot", tmp_path / "journal.log")
    assert found is not None
    assert len(found.trials) == 3
    assert by_state(read_by_us(tmp_path)) == by_state(read_by_optuna(tmp_path))
    storage = IndexedJournalStorage(Journal(tmp_path / "journal.log"), tmp_path / ".snapshot")
    storage.write_snapshot()
    assert len(read_by_us(tmp_path).trials) == 303
    assert not (tmp_path / ".snapshot.tmp").exists()
