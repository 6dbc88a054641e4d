"""A PostgreSQL server for tests, from Debian's package, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from sweep.system.processes import is_alive

PASSWORD = "s3cr:t"
"""The password of the user `sweep`. It means something in a URL, where it is written `s3cr%3At`."""


def _programs() -> Path:
    """The folder of the newest version: Debian puts none of these programs on the PATH."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    newest = max(versions, key=lambda path: float(path.parent.name), default=None)
    return newest if newest is not None else Path(shutil.which("initdb") or "initdb").parent


class Postgres:
    """A server on a free port of 127.0.0.1. `start` waits until it answers.

    It refuses to run as root, who uses the user that Debian's package has created.
    """

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="sweep-pg-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._root, self._user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        password = self._root / "password"
        password.write_text(f"{PASSWORD}\n")
        password.chmod(0o644)
        self._data = self._root / "data"
        options = ["-U", "sweep", "-A", "scram-sha-256", "--no-sync"]
        assert not self._run("initdb", "-D", self._data, f"--pwfile={password}", *options).wait()
        (self._data / "postgresql.auto.conf").write_text(
            f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
            "max_connections = 40\nshared_buffers = 16MB\n"
            "fsync = off\n"  # the operating system keeps what a killed process has written
        )

    def _run(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [_programs() / program, *arguments],
            user=self._user,
            cwd=self._root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self) -> None:
        # Not with `pg_ctl`: only the parent of a killed server can remove its entry from the process table,
        # without which another one does not start.
        self._server = self._run("postgres", "-D", self._data)
        while self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port)).wait():
            assert self._server.poll() is None
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill the server, as if its machine had crashed."""
        processes = self._processes()
        for process in processes:
            process.kill()
        self._server.wait()
        while any(map(is_alive, processes)):
            time.sleep(0.01)

    def freeze(self) -> None:
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self._server.pid)
        return [server, *server.children(recursive=True)]

    def create(self, name: str) -> str:
        """Create an empty database; returns its URL."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="sweep",
            password=PASSWORD,
            dbname="postgres",
            autocommit=True,
        ) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, name: str, password: str = "s3cr%3At") -> str:
        return f"postgresql://sweep:{password}@127.0.0.1:{self.port}/{name}"

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._root)
