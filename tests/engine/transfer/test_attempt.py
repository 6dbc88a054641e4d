"""Attempts on machines without the sweep's directory: they begin where the last one ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sweep.engine.transfer import sender as sender_module
from sweep.engine.transfer.attempt import new_file_sender, send_rest, sent
from sweep.engine.transfer.local import clean_up_machine, create_local_directory
from sweep.engine.transfer.messages import Change, Place, SentRun, Write
from sweep.engine.transfer.receiver import Receiver
from sweep.errors import SweepError
from sweep.system.directory import SweepDirectory
from tests.engine.ray.test_faults import wait_for
from tests.engine.transfer.common import Machine, contents

FIRST, SECOND = SentRun(7, "", 1), SentRun(7, "", 2)


@pytest.fixture
def machines(tmp_path: Path) -> tuple[SweepDirectory, SweepDirectory]:
    found = []
    for name in ("a", "b"):
        found.append(SweepDirectory(tmp_path / name / "demo"))
        found[-1].root.mkdir(parents=True)
    return found[0], found[1]


def test_a_trial_that_moves_finds_its_files_on_the_other_machine(
    directory: SweepDirectory, machines: tuple[SweepDirectory, SweepDirectory]
) -> None:
    store = Receiver(directory, [""])
    first, second = (machine.trial(7) for machine in machines)
    with sent(machines[0], FIRST, store, new_file_sender()):
        (first.root / "checkpoint/0003-step-5").mkdir(parents=True)
        (first.root / "checkpoint/0003-step-5/model").write_bytes(os.urandom(10_000))
        (first.root / "latest").symlink_to("checkpoint/0003-step-5")
        first.output.write_text("first\n")
        (first.root / "script").touch(0o755)
        before = contents(first)
    assert not first.root.exists()
    assert contents(directory.trial(7)) == before
    directory.trial(7).error.write_text("why")  # as the controller writes it
    with sent(machines[1], SECOND, store, new_file_sender()):
        assert {**contents(second), "error.txt": None} == {**before, "error.txt": None}
        assert second.error.read_text() == "why"
        with second.output.open("a") as file:
            file.write("second\n")
    assert directory.trial(7).output.read_text() == "first\nsecond\n"
    assert [path for machine in machines for path in machine.root.rglob("*") if path.is_file()] == []


def test_files_follow_while_the_attempt_runs(
    directory: SweepDirectory, machines: tuple[SweepDirectory, SweepDirectory]
) -> None:
    local, received = machines[0].trial(7), directory.trial(7)
    with sent(machines[0], FIRST, Receiver(directory, [""]), new_file_sender()):
        local.output.write_text("a")
        wait_for(lambda: received.output.exists() and received.output.read_text() == "a")
        with local.output.open("a") as file:
            file.write("b")
        wait_for(lambda: received.output.read_text() == "ab")


def test_what_a_killed_attempt_has_not_sent_is_sent_afterwards(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "local", tmp_path / "demo")
    machine.write("output.log", b"1")
    machine.write("same", b"same")
    machine.save(1, b"old")
    machine.sender.send()
    followed = (machine.received.root / "output.log").open("rb")
    machine.write("output.log", b"2", "ab")
    (machine.local.root / "same").unlink()
    machine.save(2, b"new")
    expected = contents(machine.local)
    send_rest(SweepDirectory(tmp_path / "local"), machine.run, machine.store)
    assert contents(machine.received) == expected
    assert not machine.local.root.exists()
    assert followed.read() == b"12"
    send_rest(SweepDirectory(tmp_path / "local"), machine.run, machine.store)  # it is over
    assert contents(machine.received) == expected


def test_what_an_earlier_attempt_has_left_on_a_machine_is_not_sent_for_a_later_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "local", tmp_path / "demo")
    machine.write("output.log", b"old")
    machine.sender.send()
    (machine.received.root / "output.log").write_text("newer, from another machine")
    send_rest(SweepDirectory(tmp_path / "local"), SECOND, machine.store)
    assert (machine.received.root / "output.log").read_text() == "newer, from another machine"


def test_an_attempt_that_had_not_begun_leaves_the_files_of_earlier_ones(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "local", tmp_path / "demo")
    machine.write("output.log", b"1")
    machine.sender.finish()
    machine.store.close(machine.run)
    send_rest(SweepDirectory(tmp_path / "other"), SECOND, machine.store)
    assert (machine.received.root / "output.log").read_bytes() == b"1"


class Slow(Receiver):
    """A receiver during whose calls a trial does something."""

    calls: list[Sequence[Change]]
    meanwhile = staticmethod(lambda: None)

    def apply(self, run: SentRun, changes: Sequence[Change]) -> frozenset[str]:
        self.calls.append(changes)
        self.meanwhile()
        return super().apply(run, changes)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Slow]:
    monkeypatch.setattr(sender_module, "CHUNK", 1000)
    monkeypatch.setattr("sweep.engine.transfer.contents.CHUNK", 1000)
    monkeypatch.setattr(sender_module, "INTERVAL", 0.0)
    machine = Machine(tmp_path / "local", tmp_path / "demo")
    store = Slow(SweepDirectory(tmp_path / "demo"), [""])
    store.calls = []
    machine.sender._store = store
    return machine, store


def test_a_checkpoint_that_is_removed_while_it_is_sent_arrives(slow: tuple[Machine, Slow]) -> None:
    machine, store = slow
    steps = iter(range(1, 100))
    store.meanwhile = lambda: machine.save(next(steps), os.urandom(5000))  # type: ignore[method-assign]
    machine.save(0, os.urandom(5000))
    machine.sender.send()
    assert os.listdir(machine.received.checkpoints) == ["0000-step-0"]
    assert "0000-step-0" not in os.listdir(machine.local.checkpoints)
    store.meanwhile = lambda: None  # type: ignore[method-assign]
    machine.sender.finish()
    machine.assert_same()


@pytest.mark.parametrize("path", ["model.pt", "checkpoint/0000-step-1"])
def test_small_files_are_not_kept_waiting_by_a_large_one(slow: tuple[Machine, Slow], path: str) -> None:
    machine, store = slow
    if path == "model.pt":
        machine.write(path, os.urandom(20_000))
    else:
        machine.save(1, os.urandom(20_000))
    store.meanwhile = lambda: machine.write("output.log", b"x", "ab")  # type: ignore[method-assign,return-value]
    machine.sender.send()
    arrived = [
        any(isinstance(change, Place | Write) and change.path == "output.log" for change in changes)
        for changes in store.calls
    ]
    assert sum(arrived) >= 5
    assert (
        max(len(change.data) for changes in store.calls for change in changes if isinstance(change, Write))
        <= 1000
    )


def test_the_curves_that_belong_to_a_checkpoint_arrive_before_it(slow: tuple[Machine, Slow]) -> None:
    machine, store = slow
    machine.write("events", b"up to step 1")
    machine.save(1, b"model")
    machine.sender.send()
    paths = [change.path for changes in store.calls for change in changes if isinstance(change, Place)]
    assert paths == ["events", "checkpoint/0000-step-1"]


def test_links_out_of_the_directory_are_not_sent_and_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "local", tmp_path / "demo")
    (machine.local.root / "data").symlink_to("/usr/share")
    (machine.local.root / "up").symlink_to("../../journal.log")
    target = machine.write("checkpoint.pt", b"x")
    (machine.local.root / "last.pt").symlink_to(target)  # absolute, but within
    machine.sender.finish()
    assert machine.sender.problems == dict.fromkeys(["data", "up"], "is a link out of the trial's directory")
    assert sorted(os.listdir(machine.received.root)) == ["checkpoint.pt", "last.pt"]
    assert os.readlink(machine.received.root / "last.pt") == "checkpoint.pt"


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "local", tmp_path / "demo")
    os.mkfifo(machine.local.root / "pipe")
    machine.sender.finish()
    assert os.listdir(machine.received.root) == [] if machine.received.root.exists() else True


def test_the_folder_of_a_sweep_on_another_machine_is_private_and_is_found_again(
    directory: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    local = create_local_directory(directory, "host", "node-1")
    assert create_local_directory(directory, "host", "node-1") == local
    others = [
        create_local_directory(directory, "host", "node-2"),
        create_local_directory(directory, "other", "node-1"),
        create_local_directory(SweepDirectory(tmp_path / "x" / "demo"), "host", "node-1"),
    ]
    assert len({local, *others}) == 4
    assert (tmp_path / f"sweep-{os.geteuid()}").stat().st_mode & 0o777 == 0o700
    (local.root / "trial-0001").mkdir()
    dead = create_local_directory(directory, "host", "dead")
    create_local_directory(directory, "host", "node-1", alive=["node-1", "node-2"])
    assert [place.root.exists() for place in (local, *others, dead)] == [True] * 4 + [False]
    clean_up_machine(directory, "host")
    assert [place.root.exists() for place in (local, *others)] == [False, False, True, True]
    (tmp_path / f"sweep-{os.geteuid()}").chmod(0o777)
    with pytest.raises(SweepError, match="can be changed by other users"):
        create_local_directory(directory, "host", "node-1")
