"""`sweep logs`: what a trial has printed."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from sweep.cli.completion import complete_run
from sweep.cli.options import Runs, SweepName
from sweep.errors import InputError
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView
    from sweep.system.directory import TrialDirectory

_POLL_INTERVAL = 0.2
"""Time between two looks at the file, in seconds."""
_LOOKS = 5
"""After how many looks at the file the study is asked whether the trial still runs."""
_BLOCK = 1 << 20


def logs(
    name: SweepName,
    trial: Annotated[
        str,
        Argument(metavar="N", autocompletion=complete_run, help="The trial's number; of a repeat, 7/seed-0."),
    ],
    runs: Runs = RUNS,
    follow: Annotated[
        bool, Option("--follow", "-f", help="Print what is added, until the trial has ended.")
    ] = False,
    tail: Annotated[
        int | None, Option("--tail", metavar="LINES", min=0, help="Print only the last lines.")
    ] = None,
) -> None:
    """Print what a trial has printed, and where the traceback of a failed trial is.

    Piped, the output is as the trial wrote it. On a terminal, colours remain, other control characters are
    removed, and of a progress bar only the last state is shown.

    \b
    Examples:
      sweep logs digits-cnn 7
      sweep logs digits-cnn 7 -f
      sweep logs digits-cnn 7/seed-1 --tail 20
      sweep logs digits-cnn 7 | grep -i warning
    """
    from sweep.analysis.formatting import printable
    from sweep.analysis.view import SweepView
    from sweep.console.log import LogPrinter
    from sweep.system.streams import lost_output

    view = SweepView.open(name, runs)
    if not view.frozen_trials:
        print(f"{printable(view.spec.name)}: has no trials yet", file=sys.stderr)
        return
    number, repeat = _find(view, trial)
    directory = view.directory.trial(number, view.spec.run_labels[repeat])
    log = _Log(directory.output)
    with LogPrinter() as printer, suppress(KeyboardInterrupt):
        for block in log.read() if tail is None else log.read_last(tail):
            printer.write(block)
        follow = follow and not _is_over(view, number, repeat)
        while follow:
            now = view if log.wait() else view.again()
            follow = now is view or not _is_over(now, number, repeat)
            view = now
            for block in log.read():
                printer.write(block)
            follow = follow and lost_output() is None
    _print_end(view, number, trial, directory)


def _find(view: SweepView, text: str) -> tuple[int, int]:
    """The number of a trial and the index of its repeat."""
    number, slash, label = text.partition("/")
    labels, count = view.spec.run_labels, len(view.frozen_trials)
    if not (number.isascii() and number.isdecimal()):
        raise InputError(f"{text}: is not a trial; write its number, for example 7")
    if int(number) >= count:
        raise InputError(f"{text}: {view.spec.name} has no trial {number}; it has {count} trials")
    if label in labels:
        return int(number), labels.index(label)
    if label.isdecimal() and int(label) < len(labels) and view.spec.repeats is not None:
        return int(number), int(label)
    if view.spec.repeats is None:
        raise InputError(f"{text}: {view.spec.name} has no repeats; write {number}")
    known = ", ".join(f"{number}/{known}" for known in labels[:10])
    problem = f"there is no repeat {label}" if slash else "the trial has repeats"
    raise InputError(f"{text}: {problem}; write one of {known}")


class _Log:
    """A log file that can grow, be cut, or be missing. Keeps the position up to which it was read.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> Iterator[bytes]:
        """What is new, in blocks."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            # A file of bounded size was cut: what it has lost was read, or is lost.
            self._position = min(self._position, file.seek(0, os.SEEK_END))
            file.seek(self._position)
            while block := file.read(_BLOCK):
                self._position = file.tell()
                yield block

    def read_last(self, count: int) -> Iterator[bytes]:
        """The last lines."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            yield b"".join(deque(file, maxlen=count))
            self._position = file.tell()

    def wait(self) -> bool:
        """Wait until the file has grown, for a second at most; returns whether it has."""
        for _ in range(_LOOKS):
            time.sleep(_POLL_INTERVAL)
            with suppress(FileNotFoundError):
                if self._path.stat().st_size != self._position:
                    return True
        return False


def _is_over(view: SweepView, number: int, repeat: int) -> bool:
    from sweep.controller.runs import repeat_values

    trial = view.frozen_trials[number]
    values = repeat_values(trial.user_attrs, view.spec.repeats)
    has_value = bool(values) and values[repeat] is not None
    return has_value or trial.state.is_finished() or not view.is_running


def _print_end(view: SweepView, number: int, name: str, directory: TrialDirectory) -> None:
    """Say on stderr why there is no output, and where the traceback of a failed trial is."""
    from sweep.analysis.formatting import printable

    row = view.row(view.frozen_trials[number])
    if not directory.output.exists() or not directory.output.stat().st_size:
        why = "has not started" if row.state == "WAITING" else "has no output"
        print(f"trial {name} {why}", file=sys.stderr)
    if row.state == "FAIL":
        where = directory.error if directory.error.exists() else view.error_file(number)
        place = f"; traceback: {where}" if where.exists() else ""
        print(printable(f"trial {number} failed: {row.reason}{place}"), file=sys.stderr)
