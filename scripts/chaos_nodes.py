"""Where the sweep of `chaos.py` can run: Ray clusters on this machine, whose nodes are killed and drained."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from separate_nodes import SeparateNode, SeparateNodes

_DRAIN_TIME = 20.0
"""How long a node that is drained says that it stays, in seconds. A step of a trial takes 0.25 s at most."""
_DRAIN = """
import sys
from sweep.engine.ray.draining import drain_node
drain_node(sys.argv[1], float(sys.argv[2]), sys.argv[3])
"""
_PATIENCE = 120.0


class Machines(ABC):
    """The machines on which the trials of a sweep run, other than its own Ray on this one."""

    @property
    @abstractmethod
    def arguments(self) -> Sequence[str]:
        """The options of `sweep run` with which a sweep runs there."""

    @property
    def env(self) -> Mapping[str, str]:
        """What `sweep run` needs in its environment for that."""
        return {}

    def processes(self) -> list[psutil.Process]:
        """Processes there that are not found by the sweep's folder."""
        return []

    def problems(self) -> list[str]:
        """What is wrong after a sweep has ended."""
        return []

    @abstractmethod
    def shutdown(self) -> None: ...


class Nodes(Machines):
    """A Ray cluster of three nodes, started when it is first used. The first node is never lost."""

    def __init__(self) -> None:
        self._others: list[Any] = []

    @property
    def arguments(self) -> Sequence[str]:
        if not self._others:
            self._start()
            self._others = [self._join() for _ in range(2)]
        return ["--address", self._address()]

    def kill(self, which: int) -> None:
        """Kill a node with everything that runs there, then add another one."""
        self._kill(self._others.pop(which % len(self._others)))
        self._others.append(self._join())

    def drain(self, which: int) -> str | None:
        """Announce that a node leaves, wait until it has left, then add another one.

        Returns:
            what is wrong; None if it left in time.
        """
        node = self._others.pop(which % len(self._others))
        raylet = self._raylet(node)
        [node_id] = [part.partition("=")[2] for part in raylet.cmdline() if part.startswith("--node_id=")]
        subprocess.run(  # Ray reads once in a process how to authenticate, and the clusters differ in it
            [sys.executable, "-c", _DRAIN, node_id, str(_DRAIN_TIME), self._address()],
            env={**os.environ, **self.env},
            check=True,
        )
        end = time.monotonic() + _DRAIN_TIME + _PATIENCE
        while raylet.is_running() and raylet.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
            time.sleep(0.1)
        has_left = time.monotonic() < end
        self._kill(node)
        self._others.append(self._join())
        return None if has_left else "a drained node has not left in time"

    def processes(self) -> list[psutil.Process]:
        """All processes on the nodes but the first one."""
        found: dict[int, psutil.Process] = {}
        for node in self._others:
            with suppress(psutil.Error):
                found |= {child.pid: child for child in self._raylet(node).children(recursive=True)}
        return list(found.values())

    @abstractmethod
    def _start(self) -> None:
        """Start the first node."""

    @abstractmethod
    def _address(self) -> str: ...

    @abstractmethod
    def _join(self) -> Any:
        """Start another node."""

    @abstractmethod
    def _kill(self, node: Any) -> None: ...

    @abstractmethod
    def _raylet(self, node: Any) -> psutil.Process: ...


class SharedNodes(Nodes):
    """Nodes that see the same files: a `ray.cluster_utils.Cluster`."""

    def __init__(self) -> None:
        super().__init__()
        self._cluster: Any = None

    def _start(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        self._join(include_dashboard=False)

    def _address(self) -> str:
        return str(self._cluster.address)

    def _join(self, **options: Any) -> Any:
        with suppress(Exception):  # on a busy machine it can take longer than Ray's timeout of 30 s
            return self._cluster.add_node(num_cpus=1, **options)
        return self._cluster.add_node(num_cpus=1, **options)

    def _kill(self, node: Any) -> None:
        with suppress(psutil.Error):
            raylet = self._raylet(node)
            for process in [raylet, *raylet.children(recursive=True)]:
                with suppress(psutil.Error):
                    process.kill()
        with suppress(Exception):
            self._cluster.remove_node(node, allow_graceful=False)

    def _raylet(self, node: Any) -> psutil.Process:
        return psutil.Process(node.all_processes["raylet"][0].process.pid)

    def shutdown(self) -> None:
        if self._cluster is not None:
            self._cluster.shutdown()


class NodesWithoutSharedDisk(Nodes):
    """Nodes that have the folder of the sweep for themselves, empty, and so need its files sent.

    Args:
        folder: the folder that each node but the first one has for itself.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._nodes = SeparateNodes([folder])
        self._is_started = False

    @property
    def env(self) -> Mapping[str, str]:
        return self._nodes.env

    def _start(self) -> None:
        self._is_started = True
        self._nodes.__enter__()

    def _address(self) -> str:
        return self._nodes.address

    def _join(self) -> SeparateNode:
        return self._nodes.add()[0]

    def _kill(self, node: SeparateNode) -> None:
        node.kill()

    def _raylet(self, node: SeparateNode) -> psutil.Process:
        (raylet,) = [
            child for child in psutil.Process(node.process.pid).children() if child.name() == "raylet"
        ]
        return raylet

    def shutdown(self) -> None:
        if self._is_started:
            self._nodes.__exit__()
