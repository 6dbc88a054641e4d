"""How many CPUs this process can use: not all of the machine's, if something limits it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """The number of CPUs that this process can use; at least one.

    That is the smallest of: the CPUs of the machine; those to which the process is bound (`taskset`, cpusets,
    Slurm's binding); the CPU quota of its control group and of those above (containers, systemd); and the
    CPUs of a Slurm job on this machine, which Slurm does not enforce everywhere.
    """
    limits: list[float] = [os.cpu_count() or 1, *_quotas()]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        limits.append(len(os.sched_getaffinity(0)))
    if (slurm := os.environ.get("SLURM_CPUS_ON_NODE", "")).isdecimal():
        limits.append(int(slurm))
    return max(1, int(min(limits)))


def _quotas() -> Iterator[float]:
    """The CPU quotas of the control groups of this process, in CPUs."""
    with suppress(OSError):
        for line in _MEMBERSHIP.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            root = _CGROUPS / "cpu" if controllers else _CGROUPS  # version 2 has one hierarchy for all
            group = root / path.lstrip("/")  # in a container the path can be the host's, which is not visible
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):  # there is no limit
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if float(quota) > 0:
            yield float(quota) / float(period)
