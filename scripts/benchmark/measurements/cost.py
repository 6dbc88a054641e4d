"""The cost of a trial: trials that only report."""

from __future__ import annotations

from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import PEERS, run
from benchmark.work import Work

_TRIALS = {"sweep": 1000, "tune": 6, "tune-reuse": 300, "optuna": 500, "syne": 20}
"""As many as take some seconds."""
_TORCH_TRIALS = {**_TRIALS, "tune-reuse": 30}
_LABELS = {
    "random": {"sampler": "random"},
    "TPE": {"sampler": "tpe"},
    "random, with torch imported": {"sampler": "random", "torch": True},
}


def cases(quick: bool, trials: int | None) -> list[Case]:
    return [
        Case("a", name, label, Work(4 if quick else _count(name, "torch" in options), **options))
        for label, options in list(_LABELS.items())[: 1 if quick else None]
        for name in PEERS
    ]


def _count(name: str, torch: bool) -> int:
    return (_TORCH_TRIALS if torch else _TRIALS)[name]


def measure(case: Case, folder: Path) -> Values:
    result = run(case.contestant, case.work, folder)
    trials = len(result.histories)
    return {"ms": 1000 * result.seconds / trials, "trials": trials}


MEASUREMENT = Measurement(
    "Cost per trial: empty trials with ten reports, on two slots",
    cases,
    measure,
    {
        "Milliseconds a trial, and how many trials": [
            column
            for label in _LABELS
            for column in (
                Column(label, label, "ms", ratio=True),
                Column("trials", label, "trials", ".0f"),
            )
        ]
    },
)
