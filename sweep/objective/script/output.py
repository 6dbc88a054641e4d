"""What a script prints: kept and shown, and looked through for metrics."""

from __future__ import annotations

import os
import queue
import selectors
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from sweep.objective.script.lines import read_line
from sweep.objective.wandb_offline import Record

_GRACE = 5.0
_LOOK_EVERY = 0.1
_LONGEST_LINE = 1 << 20
_TAIL = 60
"""How many of the last lines of its output tell why a script has failed."""


class Output:
    """What a script prints: goes where this process prints, and metrics are picked out of it.

    By a thread of its own, so that the script never has to wait for the sweep.

    Args:
        process: the script.

    Attributes:
        error: why its output cannot be written, if so.
        is_at_end: whether there will be no more.
        last_line: the last line that is not empty.
        tail: the last lines.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = process.stdout, process.stderr
        self._lines = _Lines(), _Lines()
        self._targets = sys.stdout.buffer, sys.stderr.buffer
        self._records: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._give_up_at = float("inf")
        self.error: Exception | None = None
        self.is_at_end = False
        self.last_line = ""
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._thread = threading.Thread(target=self._copy_all, name="sweep-output", daemon=True)
        self._thread.start()

    def take(self, patience: float) -> list[Record]:
        """The metrics that have come; waits a moment for the first ones."""
        found: list[Record] = []
        with suppress(queue.Empty):
            if not self.is_at_end and patience > 0 and (first := self._records.get(timeout=patience)):
                found.append(first)
            while True:
                if record := self._records.get_nowait():
                    found.append(record)
        return found

    def finish(self) -> None:
        """The script has ended: take what is left in the pipes, even if something keeps them open."""
        self._give_up_at = time.monotonic()
        self._thread.join(_GRACE)
        for pipe in self._pipes:
            pipe.close()

    def _copy_all(self) -> None:
        try:
            self._copy()
        finally:
            for lines, is_stdout in zip(self._lines, (True, False), strict=True):
                for line in lines.rest():
                    self._see(line, is_stdout)
            self.is_at_end = True
            self._records.put(None)  # wakes up who waits

    def _copy(self) -> None:
        with selectors.DefaultSelector() as selector:
            for index, pipe in enumerate(self._pipes):
                selector.register(pipe, selectors.EVENT_READ, index)
            while selector.get_map():
                ready = sorted(selector.select(_LOOK_EVERY), key=lambda event: event[0].data)
                now = time.monotonic()
                if now >= self._give_up_at + (_GRACE / 2 if ready else 0):
                    return
                # What came first on the way out is stdout, as a rule: the reason of an end stands on stderr.
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        selector.unregister(key.fileobj)
                        continue
                    self._write(key.data, data)
                    for line in self._lines[key.data].feed(data):
                        self._see(line, is_stdout=key.data == 0)

    def _write(self, index: int, data: bytes) -> None:
        try:
            self._targets[index].write(data)
            self._targets[index].flush()
        except (OSError, ValueError) as error:  # the disk is full, or the terminal has gone
            self.error = self.error or error

    def _see(self, line: bytes, is_stdout: bool) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self.last_line = text
            self.tail.append(text)
        if is_stdout and (record := read_line(text)) is not None:
            self._records.put(record)


class _Lines:
    """Cuts a stream into lines. One that is too long for a line is left out."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skips = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that end in `data`."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._pending += line
            if not self._skips:
                yield self._line()
            self._pending.clear()
            self._skips = False
        self._pending += rest
        if len(self._pending) > _LONGEST_LINE:
            # A progress bar is one line for ever, of which the last part counts.
            last = self._pending.rpartition(b"\r")[2]
            self._skips = len(last) > _LONGEST_LINE
            self._pending = bytearray() if self._skips else bytearray(last)

    def rest(self) -> Iterator[bytes]:
        """The last line, if nothing ends it."""
        if self._pending and not self._skips:
            yield self._line()

    def _line(self) -> bytes:
        return bytes(self._pending.rstrip(b"\r").rpartition(b"\r")[2])
