"""What a trial costs, and how much memory processes have, as the number of trials grows."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from benchmark.case import Case, Values
from benchmark.contestants import run
from benchmark.system import memory
from benchmark.table import Column
from benchmark.work import Work, read_spans, times_file

TITLE = "Growth: the first and the last thousand of 10,000 trials"
LIMIT = 7200
_CASES = {
    "TPE": {"sampler": "tpe", "verdicts": True},
    "random": {"sampler": "random"},
    "no reports": {"sampler": "random", "reports": 0},
}
_HEADINGS = {
    "TPE": "TPE, median pruner, ten reports with verdicts",
    "random": "random, ten reports",
    "no reports": "random, no reports",
}
_MEMORY = {
    "controller": "controller",
    "driver": "driver",
    "workers": "worker",
}
COLUMNS = []
for _label, _heading in _HEADINGS.items():
    COLUMNS += [
        Column(f"{_heading}: trials", _label, "trials", ",.0f"),
        Column("first thousand, ms a trial", _label, "first", ".1f", ratio=True),
        Column("last thousand, ms a trial", _label, "last", ".1f", ratio=True),
        Column("last / first", _label, "ratio", ".2f"),
        *(
            Column(f"{name}, {when}", _label, f"{kind} {key}", ".0f")
            for kind, name in _MEMORY.items()
            for when, key in (("MB after the first thousand", "first"), ("MB at the end", "last"))
        ),
    ]


def cases(quick: bool, trials: int | None = None) -> list[Case]:
    """With `trials`, only sweeps of so many trials without reports."""
    count = trials or (60 if quick else 10_000)
    labels = ["no reports"] if trials else [label for label in _CASES if label != "no reports"]
    return [
        Case("e", name, label, Work(count, parameters=5, **_CASES[label]))
        for label in labels
        for name in ("sweep", "tune-reuse", "optuna")
    ]


def measure(case: Case, folder: Path) -> Values:
    work = case.work
    window = max(2, min(1000, work.trials // 10))
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(folder, work.trials, window, first, last, ended))
    watching.start()
    try:
        run(case.contestant, work, folder)
    finally:
        ended.set()
        watching.join()
    starts = [span.start for span in read_spans(folder)]
    times = {
        "first": 1000 * (starts[window - 1] - starts[0]) / (window - 1),
        "last": 1000 * (starts[-1] - starts[-window]) / (window - 1),
    }
    return {
        "trials": work.trials,
        **times,
        "ratio": times["last"] / times["first"],
        **{f"{kind} first": value for kind, value in first.items() if value},
        **{f"{kind} last": value for kind, value in last.items() if value},
    }


def _watch(
    folder: Path,
    trials: int,
    window: int,
    first: dict[str, float],
    last: dict[str, float],
    ended: threading.Event,
) -> None:
    """Measure the memory after the first trials, and again and again near the end of the sweep."""
    while not ended.wait(0.2):
        count = _count(times_file(folder))
        if count >= window and not first:
            first.update(memory(os.getpid()))
        if count >= trials - max(2, window // 10):
            last.update(memory(os.getpid()))


def _count(path: Path) -> int:
    """How many trials have ended, from the size of their file: a line has about the length of the first."""
    try:
        with open(path, "rb") as file:
            line = len(file.readline())
            return path.stat().st_size // line if line else 0
    except FileNotFoundError:
        return 0
