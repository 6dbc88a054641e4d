"""The machine: its description, free ports, the memory of processes."""

from __future__ import annotations

import os
import platform
import socket
from importlib import metadata

import psutil

_PACKAGES = ("optuna", "ray", "syne-tune", "tensorboard", "tensorboardX", "torch")


def describe() -> str:
    """The machine, its CPUs and the versions of what is measured, in one line."""
    try:
        with open("/proc/cpuinfo") as file:
            cpu = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; {platform.system()} "
        f"{platform.release()}; Python {platform.python_version()}, {', '.join(map(_version, _PACKAGES))}"
    )


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"no {package}"


def free_port() -> int:
    """A free TCP port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def memory(pid: int) -> dict[str, float]:
    """The memory of a process and its descendants in MB, by kind: `driver`, `controller`, `worker` (the
    largest). It is USS, what would be free without the process, or RSS where that is not known."""
    found: dict[str, float] = {}
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            kind = "driver" if process.pid == pid else _kind(process.cmdline())
            found[kind] = max(found.get(kind, 0.0), _bytes(process) / 1e6)
        except psutil.Error:
            continue
    return found


def _kind(command: list[str]) -> str:
    title = " ".join(command)
    if title.startswith("ray::") and "Controller" in title:
        return "controller"
    is_worker = title.startswith("ray::") and not title.startswith("ray::IDLE")
    return "worker" if is_worker or "benchmark.contestants" in title else "other"


def _bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().uss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
