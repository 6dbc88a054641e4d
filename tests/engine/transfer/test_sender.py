"""What a machine without the sweep's directory writes arrives there, byte for byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sweep.engine.transfer import contents, receiver, sender
from sweep.engine.transfer.messages import Change, SentRun
from sweep.engine.transfer.receiver import Receiver
from tests.engine.transfer.common import Machine

NAMES = st.sampled_from(
    ["output.log", "events.out.tfevents.1.x", "a/b", "a", "a/c/d", "reports.jsonl", "t.tmp"]
)
DATA = st.binary(max_size=40)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "CHUNK", 16)
    monkeypatch.setattr(contents, "CHUNK", 16)
    monkeypatch.setattr(receiver, "CHUNK", 16)
    monkeypatch.setattr(contents, "_HEAD", 8)
    monkeypatch.setattr(contents, "_TAIL", 4)


class Forgetful(Receiver):
    """A receiver that dies now and then: before a call, or after it and before its answer."""

    failures: Iterator[int] = iter(())

    def apply(self, run: SentRun, changes: Sequence[Change]) -> frozenset[str]:
        while (failure := next(self.failures, 0)) > 0:
            if failure % 2:
                super().apply(run, changes)
            if failure % 3 == 0:  # and what was staged is lost
                self.__init__(self._directory, self._labels)  # type: ignore[misc]
        return super().apply(run, changes)


class Attempts(RuleBasedStateMachine):
    """An objective does anything in its run directory while it is being sent."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self._step = 0

    @initialize(failures=st.lists(st.integers(0, 6), max_size=20), keep=st.integers(1, 2))
    def start(self, failures: list[int], keep: int) -> None:
        root = Path(self._folder.name)
        self.machine = Machine(root / "local", root / "runs" / "demo", keep=keep)
        store = Forgetful(self.machine.store._directory, ["", "seed-0"])
        store.failures = iter(failures)
        self.machine.sender._store = store

    def _free(self, name: str) -> Path:
        path = self.machine.local.root / name
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        parent = path.parent
        while parent != self.machine.local.root:
            if parent.is_file() or parent.is_symlink():
                parent.unlink()
            parent = parent.parent
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @rule(name=NAMES, data=DATA, mode=st.sampled_from(["ab", "wb"]))
    def write(self, name: str, data: bytes, mode: str) -> None:
        with open(self._free(name), mode) as file:
            file.write(data)

    @rule(name=NAMES, data=DATA, place=st.integers(0, 30))
    def overwrite(self, name: str, data: bytes, place: int) -> None:
        with open(self._free(name), "ab"):
            pass
        with open(self._free(name), "r+b") as file:
            file.seek(place)
            file.write(data)

    @rule(name=NAMES, size=st.integers(0, 30))
    def truncate(self, name: str, size: int) -> None:
        path = self.machine.local.root / name
        if path.is_file() and not path.is_symlink():
            os.truncate(path, size)

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
        source = self.machine.local.root / old
        if source.is_file() and not source.is_symlink() and old != new and not new.startswith(f"{old}/"):
            target = self._free(new)
            if source.exists():
                source.rename(target)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        path = self.machine.local.root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.parent.is_dir():
            path.unlink(missing_ok=True)

    @rule(name=NAMES, to=st.sampled_from(["output.log", "a/b", "missing", "checkpoint"]))
    def link(self, name: str, to: str) -> None:
        path = self._free(name)
        path.unlink(missing_ok=True)
        depth = name.count("/")
        path.symlink_to("../" * depth + to)

    @rule(data=DATA)
    def save_checkpoint(self, data: bytes) -> None:
        self._step += 1
        self.machine.save(self._step, data)

    @rule(data=DATA, name=st.sampled_from(["x", "y"]), is_folder=st.booleans())
    def save_artifact(self, data: bytes, name: str, is_folder: bool) -> None:
        source = Path(self._folder.name) / "source"
        if is_folder:
            source.mkdir()
            (source / "inner").write_bytes(data)
        else:
            source.write_bytes(data)
        self.machine.artifacts.save(source, name)
        shutil.rmtree(source) if is_folder else source.unlink()

    @rule()
    def send(self) -> None:
        self.machine.sender.send()
        checkpoints = self.machine.received.checkpoints
        for path in checkpoints.iterdir() if checkpoints.is_dir() else []:
            assert {item.name for item in path.iterdir()} == {"model", "parts", ".sweep.json"}

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self.machine.sender.finish()
            assert self.machine.sender.problems == {}
            self.machine.assert_same()
        self._folder.cleanup()


TestAttempts = pytest.mark.usefixtures("_small_chunks")(Attempts.TestCase)
TestAttempts.settings = settings(max_examples=60, stateful_step_count=25)


def test_an_archive_whose_end_is_overwritten_when_it_grows_arrives_whole(tmp_path: Path) -> None:
    """`tarfile` and `zipfile` do so, and the worker can die before the contents are compared at its end."""
    machine = Machine(tmp_path / "local", tmp_path / "runs" / "demo")
    path = machine.write("data.tar", b"first member" + 12 * b"\0")
    machine.sender.send()
    with path.open("r+b") as archive:
        archive.seek(12)
        archive.write(b"second member" + 12 * b"\0")
    machine.sender.send()
    machine.assert_same()
