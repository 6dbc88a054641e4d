"""What `chaos.py` does to a running sweep: kills of processes and nodes, drained nodes, ended jobs."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import psutil
from chaos_nodes import Nodes
from chaos_slurm import SlurmJobs

if TYPE_CHECKING:
    from chaos import Sweep

Place = Literal["alone", "shared disk", "separate disks", "slurm"]
"""Where a sweep runs: on its own Ray, on a cluster whose nodes share the disk or do not, in Slurm jobs."""
EVERYWHERE: Sequence[Place] = ("alone", "shared disk", "separate disks", "slurm")


@dataclass(frozen=True)
class Kind(ABC):
    """Something that happens to a running sweep.

    Args:
        name: what it is called in the table.
        weight: how often it happens, compared with the others.
        places: where the sweep has to run.
    """

    name: str
    weight: int
    places: Sequence[Place] = EVERYWHERE

    @abstractmethod
    def strike(self, sweep: Sweep, choice: random.Random) -> bool:
        """Do it; returns whether there was something to do it to."""


@dataclass(frozen=True)
class KillProcess(Kind):
    """Kills one of the processes whose title begins with `title`."""

    title: str = ""

    def strike(self, sweep: Sweep, choice: random.Random) -> bool:
        return _kill_one(sweep.processes(self.title), choice)


class KillDriver(Kind):
    """Kills the process of `sweep run`."""

    def strike(self, sweep: Sweep, choice: random.Random) -> bool:
        if sweep.driver is None or not sweep.is_running():
            return False
        sweep.driver.kill()
        sweep.wait(180)
        return True


class KillRaylet(Kind):
    """Kills the raylet of the Ray that the driver has started."""

    def strike(self, sweep: Sweep, choice: random.Random) -> bool:
        assert sweep.driver is not None
        raylets: list[psutil.Process] = []
        with suppress(psutil.Error):
            children = psutil.Process(sweep.driver.pid).children()
            raylets = [child for child in children if child.name() == "raylet"]
        return _kill_one(raylets, choice)


class KillNode(Kind):
    """Kills a node of a cluster with everything that runs there, and adds another one."""

    def strike(self, sweep: Sweep, choice: random.Random) -> bool:
        assert isinstance(sweep.machines, Nodes)
        sweep.machines.kill(choice.randrange(2))
        return True


class DrainNode(Kind):
    """Announces that a node of a cluster leaves, waits until it has left, and adds another one."""

    def strike(self, sweep: Sweep, choice: random.Random) -> bool:
        assert isinstance(sweep.machines, Nodes)
        if problem := sweep.machines.drain(choice.randrange(2)):
            sweep.violations.append(problem)
        return True


@dataclass(frozen=True)
class EndJob(Kind):
    """Ends a Slurm job that has joined the sweep, with `command` and the job's number."""

    command: Sequence[str] = ()

    def strike(self, sweep: Sweep, choice: random.Random) -> bool:
        assert isinstance(sweep.machines, SlurmJobs)
        return sweep.machines.end_job(sweep.root, self.command, choice)


def _kill_one(victims: Sequence[psutil.Process], choice: random.Random) -> bool:
    if not victims:  # it was killed before, and has not been restarted yet
        return False
    with suppress(psutil.NoSuchProcess):
        choice.choice(sorted(victims, key=lambda process: process.pid)).kill()
    return True


DRIVER = KillDriver("driver", 4)
SCANCEL = EndJob("cancelled Slurm job", 2, ("slurm",), ("scancel",))
REQUEUE = EndJob("requeued Slurm job", 2, ("slurm",), ("scontrol", "requeue"))
KINDS: Sequence[Kind] = (
    KillProcess("worker", 6, title="ray::RayWorker"),
    DRIVER,
    KillProcess("controller", 3, title="ray::RayController"),
    KillRaylet("raylet", 1, ("alone",)),
    KillNode("node", 1, ("shared disk",)),
    DrainNode("drained node", 1, ("shared disk",)),
    KillNode("node with a disk of its own", 2, ("separate disks",)),
    DrainNode("drained node with a disk of its own", 2, ("separate disks",)),
    SCANCEL,
    REQUEUE,
)
