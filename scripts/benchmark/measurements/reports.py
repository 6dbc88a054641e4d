"""Reports a second, until they are in the contestant's storage."""

from __future__ import annotations

from pathlib import Path

from benchmark.case import Case, Values
from benchmark.contestants import PEERS, run
from benchmark.table import Column
from benchmark.work import Work, first_start, lost_reports

TITLE = "Reports a second, from the first report until all are stored, and how many are lost or out of order"
LIMIT = 1800
_WORKERS = (1, 4, 16)
_REPORTS = {"sweep": 5000, "tune": 500, "tune-reuse": 500, "optuna": 200, "syne": 5000}
COLUMNS = [Column("reports of a worker", "1", "reports", ".0f")]
for _workers in _WORKERS:
    _text = "1 worker" if _workers == 1 else f"{_workers} workers"
    COLUMNS += [
        Column(f"{_text}, reports/s", str(_workers), "rate", ",.0f", ratio=True),
        Column("lost", str(_workers), "lost", ".0f"),
    ]


def cases(quick: bool) -> list[Case]:
    return [
        Case("d", name, str(workers), Work(workers, workers, 0.125, 100 if quick else _REPORTS[name]))
        for workers in (_WORKERS[:2] if quick else _WORKERS)
        for name in PEERS
    ]


def measure(case: Case, folder: Path) -> Values:
    result = run(case.contestant, case.work, folder)
    seconds = result.stored - first_start(folder)
    return {
        "rate": case.work.trials * case.work.reports / seconds,
        "lost": lost_reports(case.work, result.histories),
        "reports": case.work.reports,
    }
