"""Copies the output of a script to the trial's log, and splits it into lines."""

from __future__ import annotations

import os
import queue
import re
import selectors
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sweep.script.bounded_log import BoundedLog
from sweep.script.plain_text import plain

_CLOSE_TIMEOUT = 60.0
"""Seconds for reading the rest of the pipes, which takes milliseconds if the machine is not busy."""
_POLL_INTERVAL = 0.1
_PIPE_SIZE = 1 << 20
"""Bytes: Linux's limit, so that one read gets everything that is in a pipe."""
_LONGEST_LINE = 1 << 20
_LONGEST_HELD = 1 << 16
_LONGEST_HOLD_TIME = 0.2
"""Bytes and seconds after which an incomplete line is printed: a prompt does not end with a newline."""
_TAIL = 200
"""How many of the last lines are searched for the reason of a failure."""
_LONGEST_IN_TAIL = 2000
_MOST_WAITING = 10_000
"""Lines in the queue. A script that prints faster than they are read is slowed down."""


class Line(NamedTuple):
    """A line of output.

    Args:
        text: the line as a terminal shows it.
        is_stdout: whether it was printed to stdout.
        is_overwritten: whether it ends with a carriage return, like the states of a progress bar.
    """

    text: str
    is_stdout: bool
    is_overwritten: bool


class ScriptOutput:
    """Copies the output of a script to that of this process, and splits it into lines.

    It does so in a thread, so that the script does not wait for the sweep.

    Args:
        process: the script.
        log: the file to which the output of this process is redirected.
        wants_all: whether all lines are returned, or only those that can contain a JSON object.

    Attributes:
        error: the exception that writing the output raised, or None.
        is_at_end: whether there is no more output.
        tail: the last lines that are not empty, truncated to a readable length.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, wants_all: bool) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = process.stdout, process.stderr
        self._lines = _LineSplitter(), _LineSplitter()
        self._targets = _LineWriter(sys.stdout.buffer), _LineWriter(sys.stderr.buffer)
        self._log = BoundedLog(log)
        self._wants_all = wants_all
        self._queue: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._is_over = False
        self.error: Exception | None = None
        self.is_at_end = False
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._tail_is_overwritten = False
        self._thread = threading.Thread(target=self._copy_all, name="sweep-output", daemon=True)
        self._thread.start()

    def read_lines(self, timeout: float) -> list[Line]:
        """The lines since the last call; waits up to `timeout` seconds for the first one."""
        lines: list[Line | None] = []
        with suppress(queue.Empty):
            if timeout > 0 and not self.is_at_end:
                lines.append(self._queue.get(timeout=timeout))
            lines += [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        return [line for line in lines if line is not None]

    def close(self) -> None:
        """Read the rest of the pipes after the script has exited, even if another process has them open."""
        self._is_over = True
        self._thread.join(_CLOSE_TIMEOUT)
        for pipe in self._pipes:
            pipe.close()

    def _copy_all(self) -> None:
        try:
            self._copy()
        finally:
            for target in self._targets:
                self._write(target.flush)
            for lines, is_stdout in zip(self._lines, (True, False), strict=True):
                self._add_line(lines.rest(), False, is_stdout)
            self.is_at_end = True
            self._queue.put(None)  # wakes up `read_lines`

    def _copy(self) -> None:
        with selectors.DefaultSelector() as selector:
            for index, pipe in enumerate(self._pipes):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, index)
            while selector.get_map():
                is_over = self._is_over
                # In Linux the pipe to which the script has printed first comes first.
                for key, _ in selector.select(_POLL_INTERVAL):
                    data = os.read(key.fd, 1 << 16)
                    if data:
                        self._take(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
                for target in self._targets:
                    if time.monotonic() >= target.since + _LONGEST_HOLD_TIME:
                        self._write(target.flush)
                if is_over:
                    return self._drain()
                while self._queue.qsize() > _MOST_WAITING and not self._is_over:
                    time.sleep(0.01)

    def _drain(self) -> None:
        """Read what is in the pipes now, and no more: another process may print to them forever.

        stdout comes first: the reason of a failure is usually printed last, to stderr.
        """
        for index, pipe in enumerate(self._pipes):
            with suppress(BlockingIOError):
                self._take(index, os.read(pipe.fileno(), _PIPE_SIZE))

    def _take(self, index: int, data: bytes) -> None:
        self._write(partial(self._targets[index].write, data))
        for line, is_overwritten in self._lines[index].feed(data):
            self._add_line(line, is_overwritten, is_stdout=index == 0)

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
            self._log.cut()
        except (OSError, ValueError) as error:  # the disk is full, or the terminal is closed
            self.error = self.error or error

    def _add_line(self, line: bytes, is_overwritten: bool, is_stdout: bool) -> None:
        whole = plain(line.decode("utf-8", "replace"))
        text = whole.strip()
        if not text:
            if not is_overwritten:  # a line feed, which can be read later than the carriage return before it
                self._tail_is_overwritten = False
            return
        if self._tail_is_overwritten:
            self.tail.pop()  # a terminal would show this line in its place
        self.tail.append(whole.rstrip()[:_LONGEST_IN_TAIL])
        self._tail_is_overwritten = is_overwritten
        if self._wants_all or text.startswith("{") or text.endswith("}"):
            self._queue.put(Line(whole, is_stdout, is_overwritten))


class _LineWriter:
    """Writes a stream in complete lines, because both of a script's streams can go to one file.

    Attributes:
        since: when an incomplete line was received; infinity if there is none.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._pending = bytearray()
        self.since = float("inf")

    def write(self, data: bytes) -> None:
        """Write the lines that end in `data`, and hold the rest."""
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        rest = data[end:]
        if end:
            self._pending += data[:end]
            self.flush()
        if rest:
            self._pending += rest
            self.since = min(self.since, time.monotonic())
        if len(self._pending) > _LONGEST_HELD:
            self.flush()

    def flush(self) -> None:
        """Write everything that is held."""
        data, self._pending = self._pending, bytearray()
        self.since = float("inf")
        if data:
            self._target.write(data)
            self._target.flush()


_END = re.compile(rb"(\r\n|\n|\r|\x1b\[[01]?G)")
"""The escape code moves the cursor to the beginning of the line."""


class _LineSplitter:
    """Splits a stream into lines at line feeds and carriage returns. Lines that are too long are skipped."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The lines that end in `data`, and whether each ends with a carriage return."""
        parts = _END.split(data)
        parts[0] = self._pending + parts[0]
        *parts, rest = parts
        self._pending = rest[: _LONGEST_LINE + 1]
        for line, end in zip(parts[::2], parts[1::2], strict=True):
            if len(line) <= _LONGEST_LINE:
                yield line, end not in (b"\n", b"\r\n")

    def rest(self) -> bytes:
        """The last line, if it is incomplete."""
        return self._pending if len(self._pending) <= _LONGEST_LINE else b""
