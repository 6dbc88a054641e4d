"""What a script prints: kept and shown, and cut into lines."""

from __future__ import annotations

import fcntl
import os
import queue
import re
import selectors
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from sweep.script.bounded_log import BoundedLog

_GRACE = 60.0
"""Seconds for what the script has left in its pipes: a few milliseconds' work, if the machine is not busy."""
_LOOK_EVERY = 0.1
_LONGEST_LINE = 1 << 20
_LONGEST_HELD = 1 << 16
_PATIENCE_FOR_LINES = 0.2
"""Bytes and seconds after which the beginning of a line is printed without its end: a prompt has none."""
_TAIL = 200
"""How many of the last lines of its output tell why a script has failed."""
_LONGEST_IN_TAIL = 2000
_MOST_WAITING = 10_000
"""Lines that nobody has looked at yet; a script that prints faster than that has to wait a moment."""


class Line(NamedTuple):
    """A line of output.

    Args:
        text: without white space around it.
        is_stdout: whether it came on standard output.
        is_passing: whether another one was to be printed over it, as progress bars do.
    """

    text: str
    is_stdout: bool
    is_passing: bool


class Output:
    """What a script prints: goes where this process prints, and is cut into lines.

    By a thread of its own, so that the script need not wait for the sweep.

    Args:
        process: the script.
        log: the file in which it ends up.
        wants_all: whether all lines are wanted, and not those alone that may be JSON objects.

    Attributes:
        error: why its output cannot be written, if so.
        is_at_end: whether there will be no more.
        tail: the last lines that are not empty, without what is too long for people.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, wants_all: bool) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = process.stdout, process.stderr
        self._lines = _Lines(), _Lines()
        self._targets = _WholeLines(sys.stdout.buffer), _WholeLines(sys.stderr.buffer)
        self._log = BoundedLog(log)
        self._wants_all = wants_all
        self._waiting: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._is_over = False
        self.error: Exception | None = None
        self.is_at_end = False
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._tail_is_passing = False
        self._thread = threading.Thread(target=self._copy_all, name="sweep-output", daemon=True)
        self._thread.start()

    def take(self, patience: float) -> list[Line]:
        """The lines that have come; waits a moment for the first one."""
        found: list[Line] = []
        with suppress(queue.Empty):
            if not self.is_at_end and patience > 0 and (first := self._waiting.get(timeout=patience)):
                found.append(first)
            for _ in range(self._waiting.qsize()):
                if line := self._waiting.get_nowait():
                    found.append(line)
        return found

    def finish(self) -> None:
        """The script has ended: take what is left in the pipes, even if something keeps them open."""
        self._is_over = True
        self._thread.join(_GRACE)
        for pipe in self._pipes:
            pipe.close()

    def _copy_all(self) -> None:
        try:
            self._copy()
        finally:
            for target in self._targets:
                self._write(target.flush)
            for lines, is_stdout in zip(self._lines, (True, False), strict=True):
                for line in lines.rest():
                    self._see(line, False, is_stdout)
            self.is_at_end = True
            self._waiting.put(None)  # wakes up who waits

    def _copy(self) -> None:
        with selectors.DefaultSelector() as selector:
            for index, pipe in enumerate(self._pipes):
                selector.register(pipe, selectors.EVENT_READ, index)
            while selector.get_map():
                is_over = self._is_over
                # What came first on the way out is stdout, as a rule: the reason of an end stands on stderr.
                for key, _ in sorted(selector.select(_LOOK_EVERY), key=lambda event: event[0].data):
                    data = os.read(key.fd, 1 << 16)
                    if data:
                        self._take(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
                for target in self._targets:
                    if time.monotonic() >= target.since + _PATIENCE_FOR_LINES:
                        self._write(target.flush)
                if is_over:
                    return self._drain()
                while self._waiting.qsize() > _MOST_WAITING and not self._is_over:
                    time.sleep(0.01)

    def _drain(self) -> None:
        """Take what is in the pipes now, and no more: something else may print into them for ever."""
        for index, pipe in enumerate(self._pipes):
            left = _count_waiting(pipe)
            while left > 0:
                data = os.read(pipe.fileno(), min(left, 1 << 16))
                self._take(index, data)
                left -= len(data)

    def _take(self, index: int, data: bytes) -> None:
        self._write(partial(self._targets[index].write, data))
        for line, is_passing in self._lines[index].feed(data):
            self._see(line, is_passing, is_stdout=index == 0)

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
            self._log.cut()
        except (OSError, ValueError) as error:  # the disk is full, or the terminal has gone
            self.error = self.error or error

    def _see(self, line: bytes, is_passing: bool, is_stdout: bool) -> None:
        whole = line.decode("utf-8", "replace").rstrip()
        text = whole.strip()
        if not text:
            return
        if self._tail_is_passing:
            self.tail.pop()  # on a terminal this line would stand in its place
        self.tail.append(whole[:_LONGEST_IN_TAIL])
        self._tail_is_passing = is_passing
        if self._wants_all or (is_stdout and text.startswith("{")):
            self._waiting.put(Line(text, is_stdout, is_passing))


def _count_waiting(pipe: IO[bytes]) -> int:
    """How many bytes can be read without waiting."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(struct.calcsize("i"))))
    return int(count)


class _WholeLines:
    """Writes a stream in whole lines: both of a script's streams may end up in one file.

    Attributes:
        since: when the beginning of a line that has no end yet came; infinity if there is none.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._pending = bytearray()
        self.since = float("inf")

    def write(self, data: bytes) -> None:
        """Write the lines that end in `data`, and keep what is after them."""
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
        """Write what there is."""
        data, self._pending = self._pending, bytearray()
        self.since = float("inf")
        if data:
            self._target.write(data)
            self._target.flush()


_END = re.compile(rb"\r\n|\n|\r")


class _Lines:
    """Cuts a stream into lines; each state of a progress bar is one. What is too long for one is left out."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skips = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The lines that end in `data`, and whether another one was to be printed over each."""
        at = 0
        for end in _END.finditer(data):
            self._pending += data[at : end.start()]
            at = end.end()
            if not self._skips and len(self._pending) <= _LONGEST_LINE:
                yield bytes(self._pending), end[0] == b"\r"
            self._pending.clear()
            self._skips = False
        self._pending += data[at:]
        if len(self._pending) > _LONGEST_LINE:
            self._pending.clear()
            self._skips = True

    def rest(self) -> Iterator[bytes]:
        """The last line, if nothing ends it."""
        if self._pending and not self._skips:
            yield bytes(self._pending)
