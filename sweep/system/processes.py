"""The processes of a sweep on this machine: how they are found, and how they end."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

TRIAL_DIRECTORY = "SWEEP_TRIAL_DIR"
"""Environment variable of a trial and of all that it starts: the trial's directory."""

_LONGEST_DEATH = 5.0  # seconds
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def end_with_parent() -> None:
    """Have this process killed when its parent dies.

    A worker outlives the Ray daemon of its machine for a quarter of a minute otherwise, and works on.
    """
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was too late
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of those descendants whose own parents die: none of them gets out of sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    with suppress(AttributeError, OSError):  # not on Linux
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants() -> list[psutil.Process]:
    """All processes that this one has started, and those that they have started."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there are none: no need to read the whole process table
        return []
    return psutil.Process().children(recursive=True)


def find(trials: Sequence[Path] = (), files: Iterable[Path] = ()) -> list[psutil.Process]:
    """Processes on this machine that belong to some trials, or can write to some files.

    This process and its ancestors are left out.

    Args:
        trials: directories of trials, or directories in which they lie.
        files: files that only the processes that are looked for have open for writing.
    """
    paths = {str(file) for file in files}
    places = tuple(f"{place}{os.sep}" for place in trials)
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            place = process.environ().get(TRIAL_DIRECTORY)
            is_of_trial = place is not None and f"{place}{os.sep}".startswith(places)
            if is_of_trial or (paths and _can_write(process.pid, paths)):
                found.append(psutil.Process(process.pid))  # the iterator's may be one that had its number
    return found


def _can_write(pid: int, paths: set[str]) -> bool:
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") not in paths:
                continue
            info = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()
            flags = int(info.partition("flags:")[2].split()[0], 8)
            if flags & os.O_ACCMODE != os.O_RDONLY:  # others may read them
                return True
    return False


def end(processes: Sequence[psutil.Process], grace: float = 0.0) -> None:
    """End processes, and wait until they are gone.

    Args:
        processes: which.
        grace: seconds between SIGTERM and SIGKILL; with 0 there is only the latter.
    """
    living = list(processes)
    if grace > 0:
        _signal(living, signal.SIGTERM)
        living = _wait(living, grace)
    _signal(living, signal.SIGKILL)
    _wait(living, _LONGEST_DEATH)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes are gone; returns those that are not.

    A zombie is as good as gone: it waits for a parent that may never ask.
    """
    end = time.monotonic() + seconds
    while True:
        processes = [process for process in processes if is_alive(process)]
        if not processes or time.monotonic() >= end:
            return processes
        time.sleep(0.01)


def reap(processes: Iterable[psutil.Process]) -> None:
    """Take leave of children that have ended, for there may be nobody else to do so."""
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def end_trial(trial: Path, output: Path) -> None:
    """End all that is left of a trial on this machine.

    Args:
        trial: the trial's directory.
        output: the file into which it prints.
    """
    end(find([trial], [output]))


def count_kernel_kills() -> int:
    """How often the kernel has killed a process of this machine because memory ran out, as far as it says."""
    with suppress(OSError, ValueError), open("/proc/vmstat") as file:
        for line in file:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
