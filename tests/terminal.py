"""A command on a real pseudoterminal: waiting for its output and typing answers."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType

from tests.commands import PATIENCE


class Terminal:
    """Runs a command on a new terminal.

    Args:
        arguments: the command.
        environment: additional environment variables.
    """

    def __init__(self, arguments: Sequence[str], **environment: str) -> None:
        master, slave = pty.openpty()
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONBREAKPOINT"}
        self._process = subprocess.Popen(
            # As a shell does: a new session with a controlling terminal, so that Ctrl-C is a signal.
            ["setsid", "--ctty", "--wait", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**variables, "TERM": "dumb", "COLUMNS": "200", **environment},
        )
        os.close(slave)
        self._master = master
        self.text = ""
        """The output so far."""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, line: str) -> None:
        """Type a line, with Enter."""
        os.write(self._master, line.encode() + b"\n")

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> str:
        """Wait for new output that matches a pattern; returns the output up to there."""
        start, end = len(self.text), time.monotonic() + patience
        pending = getattr(self, "_pending", "")
        while not (found := re.search(pattern, pending)):
            assert time.monotonic() < end, f"no {pattern!r} in: {self.text[:start]}{pending}"
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    data = os.read(self._master, 1 << 16)
                except OSError:  # the terminal is closed
                    data = b""
                assert data, f"it has exited; no {pattern!r} in: {self.text}{pending}"
                pending += data.decode(errors="replace").replace("\r\n", "\n")
        passed, self._pending = pending[: found.end()], pending[found.end() :]
        self.text += passed
        return passed

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait until the command exits; returns its exit status."""
        self._pending: str = getattr(self, "_pending", "")
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    data = os.read(self._master, 1 << 16)
                except OSError:
                    data = b""
                if not data:
                    break
                self._pending += data.decode(errors="replace").replace("\r\n", "\n")
            elif self._process.poll() is not None:
                break
        self.text += self._pending
        self._pending = ""
        return self._process.wait(max(0.1, end - time.monotonic()))
