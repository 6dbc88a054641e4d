"""A Ray cluster on this machine whose nodes have separate directories, as machines without a shared disk.

Each node but the first one runs in a mount namespace of its own, in which the given directories are empty
and writable, and has an IP address of its own (127.0.0.2 and so on). Processes, `/tmp` and all other
directories are shared by the nodes.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_START_TIMEOUT = 300.0  # seconds
_STARTED = "Ray runtime started"


def _unshare() -> list[str]:
    """The command that runs another one in a new mount namespace."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


@cache
def can_separate() -> bool:
    """Whether this user can create mount namespaces on this machine."""
    with suppress(OSError):
        test = [*_unshare(), "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
        return subprocess.run(test, capture_output=True, check=False).returncode == 0
    return False


@dataclass(frozen=True, eq=False)
class SeparateNode:
    """A node of `SeparateNodes`.

    Args:
        ip: its IP address, `NodeManagerAddress` in `ray.nodes()`.
        process: the process of its `ray start --block`.
    """

    ip: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Kill all processes of the node at once, as if its machine lost power."""
        with suppress(psutil.NoSuchProcess):
            processes = [psutil.Process(self.process.pid)]
            processes += processes[0].children(recursive=True)
            for process in processes:  # not one after the other: nothing may notice the death of another
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()

    def path(self, path: Path) -> Path:
        """The path at which this machine's processes find a file of the node."""
        return Path(f"/proc/{self.process.pid}/root{path}")


class SeparateNodes:
    """A Ray cluster of nodes with separate directories, while the context is entered.

    A process that joins it with `address` and `env` runs on the first node, which sees the directories as
    they are.

    Args:
        hidden: the directories that each other node has for itself, empty. They exist.
        num_cpus: the number of CPUs of the first node.

    Attributes:
        address: the address of the cluster.
        env: the environment variables that a process needs in order to join it.
        nodes: the other nodes that have been started.
    """

    def __init__(self, hidden: Sequence[Path], num_cpus: float = 1) -> None:
        self._hidden = [path.resolve() for path in hidden]
        self._num_cpus = num_cpus
        self._folder = tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp", ignore_cleanup_errors=True)
        self._head: SeparateNode | None = None
        self.address = ""
        self.env: Mapping[str, str] = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": str(int(_START_TIMEOUT)),
            "RAY_health_check_period_ms": "1000",  # a node that is killed is missed after 5 s instead of 15 s
        }
        self.nodes: list[SeparateNode] = []

    def __enter__(self) -> SeparateNodes:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        head = [
            "--head",
            f"--port={port}",
            "--include-dashboard=false",
            f"--temp-dir={self._folder.name}/ray",
        ]
        self._head = self._start("127.0.0.1", [], [*head, f"--num-cpus={self._num_cpus:g}"])
        try:
            self._wait(self._head)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for node in [*self.nodes, *([self._head] if self._head is not None else [])]:
            node.kill()
        self._folder.cleanup()

    def add(self, count: int = 1, num_cpus: float = 1, *options: str) -> list[SeparateNode]:
        """Add nodes, and wait until they have joined.

        Args:
            count: the number of nodes.
            num_cpus: the number of CPUs of each.
            options: more options of `ray start`, such as `--num-gpus=4`.
        """
        mounts = "".join(f"mount -t tmpfs tmpfs '{path}' && " for path in self._hidden)
        prefix = [*_unshare(), "sh", "-c", f'{mounts}exec "$@"', "sh"]
        new = []
        for _ in range(count):
            ip = f"127.0.0.{len(self.nodes) + 2}"
            join = [f"--address={self.address}", f"--node-ip-address={ip}", f"--num-cpus={num_cpus:g}"]
            new.append(self._start(ip, prefix, [*join, *options]))
            self.nodes.append(new[-1])
            self._wait(new[-1])  # nodes that start at the same time choose the same name for their sockets
        return new

    def _start(self, ip: str, prefix: Sequence[str], options: Sequence[str]) -> SeparateNode:
        ray = str(Path(sys.executable).with_name("ray"))
        with open(self._log(ip), "wb") as log:
            process = subprocess.Popen(
                [*prefix, ray, "start", "--block", *options],
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return SeparateNode(ip, process)

    def _wait(self, node: SeparateNode) -> None:
        end = time.monotonic() + _START_TIMEOUT
        while _STARTED not in (output := self._log(node.ip).read_text()):
            if node.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"node {node.ip} did not start:\n{output}")
            time.sleep(0.05)

    def _log(self, ip: str) -> Path:
        return Path(self._folder.name) / f"{ip}.log"
