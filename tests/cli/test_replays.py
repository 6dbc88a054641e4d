"""Each command replays the journal of a sweep at most once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer import Exit

import sweep
from sweep import operations
from sweep.analysis.view import SweepView
from sweep.cli.app import app
from sweep.controller.controller import Controller
from sweep.controller.requests import RequestInbox
from sweep.errors import InputError
from sweep.study.journal import JournalReader
from sweep.sweepfile import load_spec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import SweepLock, current_session
from tests.conftest import MakeSweep

FAILS_ONCE = """
    def train(trial):
        trial.report(trial.params.x, 0)
        if trial.number == 0:
            raise ValueError("no")
        return trial.params.x
"""


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each line of a journal has been read in this process."""
    read: Counter[str] = Counter()
    original = JournalReader._read

    def counting(self: JournalReader, descriptor: int) -> Iterator[dict[str, Any]]:
        for record in original(self, descriptor):
            read[repr(record)] += 1
            yield record

    monkeypatch.setattr(JournalReader, "_read", counting)
    return read


@pytest.fixture
def file(make_sweep: MakeSweep) -> Path:
    """A sweep that can be resumed, and has no snapshot: its process was killed."""
    file = make_sweep(FAILS_ONCE, stop={"trials": 4})
    sweep.run(file, inline=True)
    directory = SweepDirectory.of(Path("runs"), "demo")
    directory.snapshot.unlink()
    directory.spec.write_text(directory.spec.read_text().replace("trials: 4", "trials: 8"))
    return file


def run_command(*arguments: str) -> None:
    with suppress(Exit):
        app(arguments, standalone_mode=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "--json"),
        ("status", "demo"),
        ("status", "demo", "--json"),
        ("best", "demo"),
        ("best", "demo", "--format", "json"),
        ("trials", "demo"),
        ("explain", "demo"),
        ("explain", "demo", "--json"),
        ("importance", "demo"),
        ("trials", "demo", "--format", "json"),
        ("trials", "demo", "--format", "csv"),
        ("ls",),
        ("ls", "--json"),
        ("logs", "demo", "0"),
        ("logs", "demo", "0", "-f"),
        ("export", "demo", "-o", "trials.csv"),
        ("export", "demo", "--json"),
        ("export", "demo", "--curves"),
        ("compare", "demo", "--where", "x < 0.5"),
        ("report", "demo"),
        ("enqueue", "demo", "x=0.5"),
        ("retry", "demo", "--failed"),
        ("debug", "demo", "--trial", "1"),
        ("run", "demo.yaml", "--inline", "-n", "8"),
        ("run", "demo.yaml", "--inline", "--quiet", "-n", "8"),
        ("run", "demo.yaml", "--inline", "--plain", "-n", "4"),
        ("run", "demo.yaml", "--inline", "--fresh"),
    ],
)
def test_a_command_reads_each_line_of_the_journal_once(
    file: Path, lines: Counter[str], arguments: tuple[str, ...]
) -> None:
    stored = {repr(json.loads(line)) for line in Path("runs", "demo", "journal.log").read_text().splitlines()}
    lines.clear()
    run_command(*arguments)
    assert {lines[line] for line in stored} == {0 if "--fresh" in arguments else 1}


def test_resuming_on_ray_reads_each_line_once_in_the_process_of_the_command(
    file: Path, lines: Counter[str], ray_cluster: None
) -> None:
    stored = Path("runs", "demo", "journal.log").read_text().splitlines()
    result = sweep.run(file, n_trials=6, progress=True)
    assert len(result.trials) == 6
    assert {lines[repr(json.loads(line))] for line in stored} == {1}


def test_a_trial_that_is_being_stopped_is_watched_without_reading_the_journal_again(
    file: Path, lines: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = SweepDirectory.of(Path("runs"), "demo")
    monkeypatch.setattr(operations, "_TIMEOUT", 0.5)
    controller = Controller(load_spec(directory.spec), directory, slots=1)
    assert controller.next_step(None).assignment is not None
    with SweepLock(directory.lock, "demo"):
        view = SweepView(directory)
        assert view.frozen_trials[-1].number == 4
        lines.clear()

        def take() -> None:
            while not (
                taken := RequestInbox(directory.requests, current_session(directory.lock) or "").take()
            ):
                time.sleep(0.01)
            taken[0].complete()

        thread = threading.Thread(target=take)
        thread.start()
        assert operations.stop_trial(view, 4) == "RUNNING"
        thread.join()
    assert not lines


def test_a_journal_that_was_replaced_is_read_from_its_start(file: Path) -> None:
    directory = SweepDirectory.of(Path("runs"), "demo")
    view = SweepView(directory)
    assert len(view.frozen_trials) == 4
    sweep.run(file, n_trials=2, inline=True, fresh=True)
    assert len(view.frozen_trials) == 4
    assert len(view.again().frozen_trials) == 2
    assert view.again().again().counts["complete"] == 1


def test_damage_that_comes_later_is_an_error_with_the_path(file: Path) -> None:
    directory = SweepDirectory.of(Path("runs"), "demo")
    view = SweepView(directory)
    assert view.frozen_trials
    with directory.journal.open("a") as journal:
        journal.write("{\n" + "[]\n")
    with pytest.raises(InputError, match=r"journal.log: cannot be read: line \d+ is damaged"):
        _ = view.again().frozen_trials
