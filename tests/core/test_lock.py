"""One process runs a sweep at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sweep.core.lock import SweepLock, is_locked
from sweep.errors import InputError


def test_a_lock_that_is_held_is_refused_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with SweepLock(path, "demo"):
        assert is_locked(path)
        with (
            pytest.raises(InputError, match=r"demo: is already being run by process \d+ on "),
            SweepLock(path, "demo"),
        ):
            pass
    assert not is_locked(path)


def test_asking_whether_a_sweep_runs_does_not_keep_it_from_running(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            is_locked(path)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(200):
            with SweepLock(path, "demo"):
                pass
    finally:
        stop.set()
        thread.join()
