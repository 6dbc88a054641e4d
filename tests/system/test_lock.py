"""One process runs a sweep at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sweep.engine.inline import InlineEngine
from sweep.engine.observer import Observer
from sweep.errors import InputError
from sweep.system.directory import SweepDirectory
from sweep.system.lock import StaleRunError, SweepLock, holder, is_locked, join_run, wait_for_fence


def test_a_locked_sweep_is_an_error_that_names_the_holder(tmp_path: Path) -> None:
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


def test_a_command_that_changes_a_sweep_which_does_not_run_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    lock = SweepLock(path, "demo", is_request=True)
    lock.__enter__()
    timer = threading.Timer(1.0, lock.__exit__, (None, None, None))  # longer than for a process that runs it
    timer.start()
    with SweepLock(path, "demo"):
        pass
    timer.join()


def test_is_locked_does_not_prevent_locking(tmp_path: Path) -> None:
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


HOLD = """
import sys, time
from pathlib import Path
from sweep.system.lock import join_run
import os
fence = join_run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
os.dup2(fence, 0)
if len(sys.argv) > 4:
    import subprocess
    child = subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(child.pid, flush=True)
else:
    print("held", flush=True)
    time.sleep(300)
"""


def hold(fence: Path, lock: Path, run: str, *more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(fence), str(lock), run, *more], stdout=subprocess.PIPE, text=True
    )
    return process


@pytest.mark.process
def test_the_fence_is_free_when_the_last_process_of_a_run_has_died(tmp_path: Path) -> None:
    fence, path = tmp_path / "fence", tmp_path / "lock"
    with SweepLock(path, "demo") as run:
        workers = [hold(fence, path, run) for _ in range(2)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "held\n"
    with SweepLock(path, "demo"):
        assert not wait_for_fence(fence, 0)
        workers[0].kill()
        assert not wait_for_fence(fence, 0.2)
        workers[1].kill()
        assert wait_for_fence(fence, 60)
    for worker in workers:
        worker.wait()


@pytest.mark.process
def test_a_child_process_inherits_the_fence(tmp_path: Path) -> None:
    fence, path = tmp_path / "fence", tmp_path / "lock"
    with SweepLock(path, "demo") as run:
        parent = hold(fence, path, run, "with a child")
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.wait()
        assert not wait_for_fence(fence, 0.2)
        os.kill(child, signal.SIGKILL)
        assert wait_for_fence(fence, 60)


@pytest.mark.process
def test_processes_of_an_earlier_run_are_terminated_with_any_storage(directory: SweepDirectory) -> None:
    with SweepLock(directory.lock, "demo") as run:
        worker = hold(directory.fence, directory.lock, run)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "held\n"
    assert not directory.journal.exists(), "as with storage: postgresql://..."
    with SweepLock(directory.lock, "demo"):
        InlineEngine().clean_up_previous_run(directory, Observer())
        assert wait_for_fence(directory.fence, 0)
    worker.wait()


def test_a_process_of_an_earlier_run_cannot_join(tmp_path: Path) -> None:
    fence, path = tmp_path / "fence", tmp_path / "lock"
    with SweepLock(path, "demo") as old:
        os.close(join_run(fence, path, old))
    with SweepLock(path, "demo") as new:
        with pytest.raises(StaleRunError):
            join_run(fence, path, old)
        os.close(join_run(fence, path, new))
        assert wait_for_fence(fence, 0)


@pytest.mark.process
def test_a_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from sweep.system.lock import SweepLock\n"
        "with SweepLock(Path(sys.argv[1]), 'demo'): print('held', flush=True); time.sleep(300)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"process {holder.pid} on"), SweepLock(path, "demo"):
        pass
    holder.kill()
    holder.wait()
    with SweepLock(path, "demo"):
        pass


def test_a_process_that_waited_for_a_sweep_that_was_moved_away_does_not_lock_the_next_one(
    tmp_path: Path,
) -> None:
    root = tmp_path / "demo"
    root.mkdir()
    path = root / "lock"
    old = SweepLock(path, "demo")
    old.__enter__()
    answers: list[str] = []

    def wait() -> None:
        try:
            with SweepLock(path, "demo") as run:
                answers.append(run)
        except InputError as error:
            answers.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    new = tmp_path / "new"
    new.mkdir()
    with SweepLock(new / "lock", "demo") as ours:  # before it is moved into place
        root.rename(tmp_path / "old")
        new.rename(root)
        old.__exit__(None, None, None)
        waiting.join()
        found = holder(path)
        assert found is not None
        assert found.run_id == ours
        assert "is already being run by" in answers[0]


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_sweep_that_is_being_moved_away_is_waited_for_briefly(tmp_path: Path, comes_back: bool) -> None:
    root = tmp_path / "demo"
    root.mkdir()
    path = root / "lock"
    is_held = threading.Event()

    def move() -> None:
        with SweepLock(path, "demo"):
            is_held.set()
            time.sleep(0.1)
            root.rename(tmp_path / "old")
        if comes_back:
            time.sleep(0.1)
            root.mkdir()

    other = threading.Thread(target=move)
    other.start()
    is_held.wait()
    if comes_back:
        with SweepLock(path, "demo") as run:
            found = holder(path)
            assert found is not None
            assert found.run_id == run
    else:
        with pytest.raises(InputError, match="demo: is already being run"), SweepLock(path, "demo"):
            pass
    other.join()
