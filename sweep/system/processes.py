"""Finds, watches and terminates the processes of a sweep on this machine.

Much of it needs Linux: /proc and prctl. Elsewhere as many processes are found as the system shows, and
`missing_guarantees` says what does not hold.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from sweep.system.ranks import WORKER_RANK

TRIAL_DIRECTORY = "SWEEP_TRIAL_DIR"
"""Environment variable with the trial's directory, inherited by everything that the trial starts."""

_KILL_TIMEOUT = 5.0
"""Seconds to wait for a process after SIGKILL."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl_function = getattr(ctypes.CDLL(None), "prctl", None)
"""None if this system is not Linux. Looked up once: a forked child must not wait for the linker's lock."""


def missing_guarantees() -> str:
    """What this system cannot promise about processes; empty on Linux."""
    if _prctl_function is not None and os.path.isdir("/proc/self/fd"):
        return ""
    return (
        f"on this system ({sys.platform}) processes that a trial leaves in the background can survive it, "
        "workers can survive a killed `sweep run` for some seconds, and a trial that the kernel kills "
        "because memory ran out counts as crashed"
    )


def exit_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies.

    Otherwise a worker outlives the Ray daemon of its machine by a quarter of a minute, and continues to work,
    and a script outlives its worker.

    Args:
        parent: the parent's process id; by default that of the current parent.
    """
    parent = parent or os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that `descendants` still finds them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _prctl_function is not None:
        _prctl_function(option, value, 0, 0, 0)


def descendants() -> list[psutil.Process]:
    """All child processes of this process, their children, and so on."""
    if hasattr(os, "waitid"):  # not on macOS
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # no children: the process table need not be read
            return []
    with suppress(psutil.Error, OSError):
        return psutil.Process().children(recursive=True)
    return []


def family() -> list[psutil.Process]:
    """This process and its descendants."""
    return [psutil.Process(), *descendants()]


def count_descriptors() -> int:
    """How many files, sockets and pipes this process has open; 0 if unknown.

    Cheaper than `psutil.Process().num_fds()`.
    """
    with suppress(OSError):
        return len(os.listdir("/dev/fd"))  # on Linux a link to /proc/self/fd
    return 0


def find(
    trials: Sequence[Path] = (),
    files: Iterable[Path] = (),
    group: int | None = None,
    rank: str | None = None,
) -> list[psutil.Process]:
    """Find processes on this machine that belong to given trials, or have given files open for writing.

    This process and its ancestors are excluded.

    Args:
        trials: directories of trials, or directories that contain them.
        files: files that only the processes in question have open for writing.
        group: a process group that belongs to a trial, with processes that cleared their environment.
        rank: the rank of the worker that has started them, if several workers run each trial together.
    """
    paths = {str(file) for file in files}
    prefixes = tuple(f"{trial}{os.sep}" for trial in trials)
    excluded = {os.getpid()}
    running: list[psutil.Process] = []
    with suppress(psutil.Error, OSError):
        excluded.update(parent.pid for parent in psutil.Process().parents())
        running += psutil.process_iter()
    matching = []
    for process in running:
        if process.pid in excluded:
            continue
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            is_in_group = group is not None and os.getpgid(process.pid) == group
            environment = {} if is_in_group else process.environ()
            trial = environment.get(TRIAL_DIRECTORY)
            if rank is not None and environment.get(WORKER_RANK) != rank:
                trial = None
            depends_on_trial = trial is not None and f"{trial}{os.sep}".startswith(prefixes)
            if (
                is_in_group
                or depends_on_trial
                or (paths and not paths.isdisjoint(files_open_for_writing(process)))
            ):
                matching.append(psutil.Process(process.pid))  # the iterator caches: its pid may be reused
    return matching


def files_open_for_writing(process: psutil.Process) -> list[str]:
    """The paths of regular files that a process can write to. Only on Linux is that known.

    Raises:
        psutil.Error: the process has terminated, or belongs to another user.
    """
    return [file.path for file in process.open_files() if getattr(file, "mode", "r") != "r"]


def terminate(processes: Sequence[psutil.Process], grace: float = 0.0) -> None:
    """Terminate processes and wait until they have exited.

    Args:
        processes: the processes.
        grace: seconds between SIGTERM and SIGKILL; 0 sends SIGKILL only.
    """
    living = list(processes)
    if grace > 0:
        _signal(living, signal.SIGTERM)
        living = _wait(living, grace)
    _signal(living, signal.SIGKILL)
    _wait(living, _KILL_TIMEOUT)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have terminated; returns those that have not.

    Unlike `psutil.wait_procs` it does not wait for zombies, whose parent may never reap them.
    """
    deadline = time.monotonic() + seconds
    while True:
        processes = [process for process in processes if is_alive(process)]
        if not processes or time.monotonic() >= deadline:
            return processes
        time.sleep(0.01)


def reap(processes: Iterable[psutil.Process]) -> None:
    """Collect the exit status of children that have terminated, adopted ones included."""
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is running. A zombie is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def terminate_trial(trial: Path, *outputs: Path, rank: str | None = None) -> None:
    """Kill all remaining processes of a trial on this machine.

    Args:
        trial: the trial's directory.
        outputs: the files to which its output is redirected.
        rank: as for `find`.
    """
    terminate(find([trial], outputs, rank=rank))


def count_kernel_kills() -> int:
    """The number of processes that the kernel of this machine killed because memory ran out; 0 if unknown."""
    with suppress(OSError, ValueError, IndexError), open("/proc/vmstat", "rb", buffering=0) as file:
        return int(file.read().split(b"\noom_kill ", 1)[1].split(b"\n", 1)[0])
    return 0
