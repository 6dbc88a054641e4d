"""The work that all contestants do: trials that sleep, report, and ask whether to stop."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Work:
    """The work of a sweep.

    Args:
        trials: the number of trials.
        slots: how many run in parallel.
        cpu: CPUs of a slot. Ray gets as many as all slots together.
        reports: reports of a trial.
        verdicts: whether a median pruner is asked after each report. No trial is worse than the median, so
            that all contestants do the same work.
        pause: seconds of training before each report.
        sampler: `random` or `tpe`.
        torch: whether the module of the objective imports torch.
        parameters: the number of parameters, all from 0 to 1.
        together: whether the trials, one for each slot, begin only when all of them have started.
    """

    trials: int
    slots: int = 2
    cpu: float = 1.0
    reports: int = 10
    verdicts: bool = False
    pause: float = 0.0
    sampler: str = "random"
    torch: bool = False
    parameters: int = 2
    together: bool = False

    @property
    def cores(self) -> int:
        """The CPUs of all slots."""
        return max(1, round(self.slots * self.cpu))

    @property
    def names(self) -> list[str]:
        """The names of the parameters."""
        return [f"x{number}" for number in range(self.parameters)]

    def write(self, folder: Path) -> Path:
        """Write the work into a file in `folder`, for other processes."""
        path = folder / "work.json"
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, folder: Path) -> Work:
        """Read the work from the file that `write` has written."""
        return cls(**json.loads((folder / "work.json").read_text()))


@dataclass(frozen=True)
class Span:
    """A trial: when it started and ended, in seconds since the epoch, and the seconds of its training."""

    start: float
    end: float
    trained: float


@dataclass(frozen=True)
class Result:
    """What a contestant did.

    Args:
        seconds: the wall time of the whole sweep, without imports and the start of Ray.
        stored: when the last trial was in the contestant's storage, in seconds since the epoch.
        histories: the reports of each trial that the contestant has stored, in their order.
    """

    seconds: float
    stored: float
    histories: list[list[float]]


_SPAN = "{:17.6f} {:17.6f} {:10.6f}\n"
"""A line of the file with the times of trials. All have the same length, by which they are counted."""


def train(
    work: Work,
    x: float,
    report: Callable[[float, int], Any],
    should_stop: Callable[[], bool],
    times: Path,
) -> float:
    """Do the work of one trial, and append its span to the file `times`; returns the trial's value."""
    if work.together:
        _wait_for_all(work.trials, times.with_name("ready"))
    start = time.time()
    trained = 0.0
    for step in range(work.reports):
        if work.pause:
            began = time.perf_counter()
            time.sleep(work.pause)
            trained += time.perf_counter() - began
        report((1.0 if work.verdicts else x) / (step + 1), step)
        if work.verdicts and should_stop():
            break
    _append(times, _SPAN.format(start, time.time(), trained).encode())
    return x


def _wait_for_all(trials: int, ready: Path) -> None:
    _append(ready, b".")
    while ready.stat().st_size < trials:
        time.sleep(0.01)


def _append(path: Path, content: bytes) -> None:
    """Append to a file in one call, because other processes do so, too."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, content)
    os.close(file)


def times_file(folder: Path) -> Path:
    """Where the trials of a sweep in `folder` write their spans."""
    return folder / "times"


def count_spans(folder: Path) -> int:
    """How many trials have ended."""
    file = times_file(folder)
    return file.stat().st_size // len(_SPAN.format(0, 0, 0)) if file.exists() else 0


def read_spans(folder: Path) -> list[Span]:
    """The trials that have ended, in the order of their starts."""
    lines = times_file(folder).read_text().splitlines()
    return sorted((Span(*map(float, line.split())) for line in lines), key=lambda span: span.start)


def first_start(folder: Path) -> float:
    """When the first trial started, in seconds since the epoch."""
    return read_spans(folder)[0].start


def lost_reports(work: Work, histories: list[list[float]]) -> int:
    """How many reports are missing, or not at their place."""
    expected = len(histories) * work.reports
    found = sum(
        abs(value * (step + 1) - history[0]) < 1e-9
        for history in histories
        for step, value in enumerate(history)
    )
    return expected - found
