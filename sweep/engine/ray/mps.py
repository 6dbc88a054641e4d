"""NVIDIA's Multi-Process Service: kernels of several processes run on one GPU at the same time.

A daemon per GPU, started by the first worker on it. It is a process of the sweep as those of trials are: what
terminates these at the end of a sweep, or those that a killed sweep has left, terminates it too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil

from sweep.system import processes
from sweep.system.directory import SweepDirectory
from sweep.system.gpus import VISIBLE, visible_gpus
from sweep.system.processes import TRIAL_DIRECTORY

_DAEMON = "nvidia-cuda-mps-control"
_PIPES, _LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_PID_FILE = "nvidia-cuda-mps-control.pid"
_STARTED = "started"
_TIMEOUT = 20.0  # seconds


def use_mps(directory: SweepDirectory) -> str:
    """Have this process and its children use the daemon of its GPU, which is started if it does not run.

    Called before this process uses CUDA, and before it adopts orphans: the daemon must survive it.

    Args:
        directory: the sweep's directory.

    Returns:
        Why there is no daemon, for the user; empty if there is one.
    """
    visible = os.environ.get(VISIBLE, "")
    if not visible or "," in visible:
        return "resources.mps: has no effect, because a trial has no GPU, or several"
    gpus = visible_gpus()
    name = gpus[0].uuid if gpus else visible
    folder = _folder(directory) / _digest(name)
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        return f"resources.mps: has no effect: {error}"
    variables = {_PIPES: str(folder), _LOGS: str(folder), VISIBLE: name}
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers start at once
        problem = "" if _has_started(folder) else _start(directory, folder, variables)
    if problem:
        return f"resources.mps: has no effect: {problem}"
    # The UUID, because the daemon counts only its own GPU.
    os.environ.update(variables)
    return ""


def remove_files(directory: SweepDirectory) -> None:
    """Remove what the daemons of a sweep on this machine have left. They have terminated."""
    shutil.rmtree(_folder(directory), ignore_errors=True)


def _folder(directory: SweepDirectory) -> Path:
    """The folder for the daemons of a sweep. Its path is short, because sockets cannot have long ones."""
    return Path(tempfile.gettempdir(), f"sweep-mps-{os.getuid()}-{_digest(str(directory.root))}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _has_started(folder: Path) -> bool:
    """Whether another worker has started the daemon, which has not terminated since then."""
    try:
        pid = int((folder / _PID_FILE).read_text())
    except (OSError, ValueError):
        return (folder / _STARTED).exists()
    try:
        return processes.is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def _start(directory: SweepDirectory, folder: Path, variables: dict[str, str]) -> str:
    """Start a daemon; returns why that was not possible."""
    environment = {**os.environ, **variables, TRIAL_DIRECTORY: str(directory.root)}
    log = folder / "start.log"
    try:
        with open(log, "w") as output:  # not a pipe, which the daemon would keep open
            status = subprocess.run(
                [_DAEMON, "-d"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT,
            ).returncode
    except FileNotFoundError:
        return f"{_DAEMON} is not on PATH; it comes with NVIDIA's driver"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{_DAEMON} did not start: {error}"
    if status == 0:
        (folder / _STARTED).touch()
        return ""
    last = " ".join(log.read_text(errors="replace").split())[-200:]
    return f"{_DAEMON} did not start: {last or f'exit status {status}'}"
