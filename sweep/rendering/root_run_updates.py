"""Keeps the root run of a running sweep up to date, in a process of its own.

To explain a sweep takes a second of CPU time, or more if it has many trials. Neither the controller, which
trials wait for, nor the process that starts them has it to spare. So now and then a process of low priority
reads the sweep, writes the root run and exits. It belongs to the sweep's run: it holds the fence, and dies
with its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sweep.system.directory import SweepDirectory
from sweep.system.libraries import own_process
from sweep.system.lock import holder

_FIRST = 10.0
"""Seconds until the first update. Shorter sweeps have only the one at their end."""
_INTERVAL = 30.0
"""Seconds between updates, at least."""
_SHARE = 0.1
"""The largest share of the time that updates take."""
_GROWTH = 0.05
"""The interval as a share of the time that the sweep has run: the number of records grows logarithmically."""
_POLL_INTERVAL = 0.1


class RootRunUpdates:
    """A context manager that updates the root run while a sweep runs in its block.

    Args:
        directory: the sweep's directory.
    """

    def __init__(self, directory: SweepDirectory) -> None:
        self._directory = directory
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep-root-run", daemon=True)
        # Inline, a trial can change these of this process.
        self._folder, self._env = Path.cwd(), dict(os.environ)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        began, interval, known = time.monotonic(), _FIRST, None
        while not self._is_over.wait(interval):
            content = self._journal()
            if content is not None and content == known:
                continue
            updating = time.monotonic()
            with suppress(OSError):  # no memory for another process now
                self._update()
            known, now = content, time.monotonic()
            interval = max(_INTERVAL, (now - updating) / _SHARE, _GROWTH * (now - began))

    def _journal(self) -> tuple[int, int] | None:
        """Changes with the study; None if the study is in a database."""
        with suppress(OSError):
            status = self._directory.journal.stat()
            return status.st_size, status.st_mtime_ns
        return None

    def _update(self) -> None:
        run = holder(self._directory.lock)  # it is renewed if Ray dies
        if run is None:
            return
        # The kernel kills it when this thread ends, which waits for it.
        with subprocess.Popen(
            [*own_process(__name__), str(self._directory.root), run.run_id],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the sweep
        ) as process:
            while process.poll() is None:
                if self._is_over.wait(_POLL_INTERVAL):
                    process.kill()


def main() -> None:
    """Update the root run of the sweep in a directory, for the run with an id: the two arguments."""
    from sweep.system.lock import StaleRunError, join_run
    from sweep.system.processes import exit_with_parent

    exit_with_parent()
    os.nice(19)
    directory = SweepDirectory(Path(sys.argv[1]))
    with suppress(StaleRunError):
        join_run(directory.fence, directory.lock, sys.argv[2])  # until this process exits
        _write(directory)


def _write(directory: SweepDirectory) -> None:
    from sweep.analysis.explanation import explain
    from sweep.analysis.view import SweepView
    from sweep.rendering.root_run import write_root_run

    view = SweepView(directory)
    if view.study is not None:
        write_root_run(view, explain(view))
