"""The cost of a trial: trials that only report."""

from __future__ import annotations

from pathlib import Path

from benchmark.case import Case, Values
from benchmark.contestants import PEERS, run
from benchmark.table import Column
from benchmark.work import Work

TITLE = "Cost per trial: empty trials with ten reports, on two slots"
LIMIT = 1800
_TRIALS = {"tune": 16, "syne": 50}
"""Of contestants that start a process for each trial."""
_LABELS = {
    "random": {"sampler": "random"},
    "tpe": {"sampler": "tpe"},
    "random, torch": {"sampler": "random", "torch": True},
}
COLUMNS = [Column("trials", "random", "trials", ".0f")] + [
    Column(f"{heading}, ms a trial", label, "ms", ".1f", ratio=True)
    for label, heading in zip(_LABELS, ["random", "TPE", "random, with torch imported"], strict=True)
]


def cases(quick: bool) -> list[Case]:
    return [
        Case("a", name, label, Work(4 if quick else _TRIALS.get(name, 1000), **options))
        for label, options in _LABELS.items()
        for name in PEERS
    ]


def measure(case: Case, folder: Path) -> Values:
    result = run(case.contestant, case.work, folder)
    return {"ms": 1000 * result.seconds / case.work.trials, "trials": case.work.trials}
