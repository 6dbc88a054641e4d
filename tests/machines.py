"""A Ray cluster of several pretended machines, which can join and leave while a sweep runs on it."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.commands import PATIENCE

_RAY = str(Path(sys.executable).with_name("ray"))


class Machines:
    """A Ray cluster on this machine: a head without CPUs, and the machines that have been added.

    Args:
        folder: where Ray keeps its files. Its path is short, because sockets are in it.
        environment: further environment variables of Ray's processes.

    Attributes:
        address: the cluster's address.
    """

    def __init__(self, folder: str, **environment: str) -> None:
        self._environment = {
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "120",
            "RAY_raylet_start_wait_time_s": "60",
            **environment,
        }
        self._processes: list[subprocess.Popen[str]] = []
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        self._start(
            "--head", f"--port={port}", "--num-cpus=0", f"--temp-dir={folder}", "--include-dashboard=false"
        )

    def add(
        self, cpus: float, gpus: int = 0, custom: dict[str, float] | None = None, labels: str = ""
    ) -> subprocess.Popen[str]:
        """Add a machine; returns its `ray start`, which announces that it leaves when it receives SIGTERM."""
        return self._start(
            f"--address={self.address}",
            f"--num-cpus={cpus}",
            f"--num-gpus={gpus}",
            f"--resources={json.dumps(custom or {})}",
            f"--labels={labels}",
        )

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a node. On a busy machine Ray's own time limit can be too short."""
        for is_last in (False, False, True):
            process = subprocess.Popen(
                [_RAY, "start", "--block", "--object-store-memory=100000000", *arguments],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._processes.append(process)
            assert process.stdout is not None
            printed = []
            for line in process.stdout:
                printed.append(line)
                if "Ray runtime started" in line:
                    return process
            assert not is_last, "".join(printed)
        raise AssertionError

    def stop(self) -> None:
        """Stop all machines, the head last."""
        for process in reversed(self._processes):
            process.terminate()  # nothing runs there any more: it does not wait
        for process in reversed(self._processes):
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)


@contextmanager
def started_machines(**environment: str) -> Iterator[Machines]:
    """A cluster that is stopped at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        machines = Machines(folder, **environment)
        try:
            yield machines
        finally:
            machines.stop()


def _free_port() -> int:
    while True:  # not one that the system, or Ray for its workers, could assign to another process
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
