"""A machine without the sweep's directory, and what it sends to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sweep.engine.transfer.attempt import snapshots_of
from sweep.engine.transfer.fetch import fetch
from sweep.engine.transfer.messages import SentRun, scan
from sweep.engine.transfer.receiver import Receiver
from sweep.engine.transfer.sender import Sender
from sweep.system.directory import SweepDirectory, TrialDirectory
from sweep.trial.artifacts import Artifacts
from sweep.trial.checkpoints import Checkpoints


class Curves:
    """The curves of a trial that logs nothing."""

    def check_process(self) -> None: ...

    def state(self) -> dict[str, Any]:
        return {"last": {}, "best": None}


class Machine:
    """A machine without the sweep's directory, on which one attempt runs."""

    def __init__(self, folder: Path, sweep: Path, run: SentRun | None = None, keep: int = 1) -> None:
        sweep.mkdir(parents=True, exist_ok=True)
        self.run = run or SentRun(7, "", 1)
        self.store = Receiver(SweepDirectory(sweep), ["", "seed-0"])
        self.local = SweepDirectory(folder).trial(self.run.number, self.run.label)
        self.received = SweepDirectory(sweep).trial(self.run.number, self.run.label)
        known = fetch(self.store, self.run, self.local.root)
        snapshots = snapshots_of(SweepDirectory(folder), self.run)
        snapshots.mkdir(parents=True)
        self.sender = Sender(self.local.root, self.run, self.store, snapshots)
        self.sender.adopt(known)
        self.checkpoints = Checkpoints(self.local.checkpoints, keep, Curves(), lambda: None)  # type: ignore[arg-type]
        self.artifacts = Artifacts(self.local.artifacts)

    def write(self, name: str, data: bytes, mode: str = "wb") -> Path:
        path = self.local.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, mode) as file:
            file.write(data)
        return path

    def save(self, step: int, data: bytes) -> None:
        with self.checkpoints.save(step) as path:
            (path / "model").write_bytes(data)
            (path / "parts").mkdir()
            (path / "parts" / "empty").touch()

    def assert_same(self) -> None:
        assert contents(self.received) == contents(self.local)


def contents(directory: TrialDirectory) -> dict[str, Any]:
    """Everything in a run directory by its path: bytes and mode, target, or None for a directory."""
    found: dict[str, Any] = {}
    for path, entry in scan(directory.root).items():
        place = directory.root / path
        if entry.kind == "file":
            found[path] = place.read_bytes(), entry.status
        else:
            found[path] = os.readlink(place) if entry.kind == "link" else None
    return found
