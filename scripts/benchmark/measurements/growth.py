"""What a trial costs, and how much memory processes have, as the number of trials grows."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import run
from benchmark.system import memory
from benchmark.work import Work, count_spans, read_spans

_TRIALS, _PEERS_TRIALS = 10_000, 2_000
_CASES = {
    "TPE, median pruner, ten reports with verdicts": {"sampler": "tpe", "verdicts": True},
    "Random, ten reports": {"sampler": "random"},
    "Random, no reports": {"sampler": "random", "reports": 0},
}


def cases(quick: bool, trials: int | None) -> list[Case]:
    """With `trials`, only sweeps of so many trials without reports."""
    *usual, no_reports = _CASES
    counts = {"sweep": trials or _TRIALS}
    for name in ("tune-reuse", "optuna"):
        counts[name] = min(counts["sweep"], _PEERS_TRIALS)
    return [
        Case("e", name, label, Work(40 if quick else count, parameters=5, **_CASES[label]))
        for label in ([no_reports] if trials else usual[: 1 if quick else None])
        for name, count in counts.items()
    ]


def measure(case: Case, folder: Path) -> Values:
    work = case.work
    window = max(2, min(1000, work.trials // 10))
    counts = {"first": window, "last": work.trials - window // 10}
    used: dict[str, dict[str, float]] = {}
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(folder, counts, used, ended))
    watching.start()
    try:
        run(case.contestant, work, folder)
    finally:
        ended.set()
        watching.join()
    starts = [span.start for span in read_spans(folder)]
    first = 1000 * (starts[window - 1] - starts[0]) / (window - 1)
    last = 1000 * (starts[-1] - starts[-window]) / (window - 1)
    values = {"trials": work.trials, "first": first, "last": last, "ratio": last / first}
    for kind, megabytes in used.get("last", {}).items():
        values[f"{kind} last"] = megabytes
        if kind in used["first"]:
            kilobytes = 1000 * (megabytes - used["first"][kind])
            values[f"{kind} growth"] = kilobytes / (counts["last"] - counts["first"])
    return values


def _watch(
    folder: Path, counts: Mapping[str, int], used: dict[str, dict[str, float]], ended: threading.Event
) -> None:
    """Measure the memory once when as many trials have ended as each of `counts` says."""
    while not ended.wait(0.1):
        for name, count in counts.items():
            if name not in used and count_spans(folder) >= count:
                used[name] = memory(os.getpid())


def _columns(label: str) -> list[Column]:
    return [
        Column("trials", label, "trials", ",.0f"),
        Column("first tenth, ms a trial", label, "first", ratio=True),
        Column("last tenth", label, "last", ratio=True),
        Column("last / first", label, "ratio", ".2f"),
        *(
            Column(f"{kind}, {heading}", label, f"{kind} {value}", form)
            for kind in ("controller", "driver", "worker")
            for heading, value, form in (("MB at the end", "last", ".0f"), ("KB a trial", "growth", ".1f"))
        ),
    ]


MEASUREMENT = Measurement(
    "Growth",
    """\
Sweeps with five parameters on two slots: time per trial among the first and the last tenth of all trials
(at most 1,000), and the memory that each process has for itself. Peers run at most 2,000 trials, because
they need hours for more. In Ray Tune the driver does what a controller does.""",
    cases,
    measure,
    {label: _columns(label) for label in _CASES},
    limit=7200,
    is_repeated=False,
)
