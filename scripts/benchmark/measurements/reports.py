"""Reports a second, until they are in the contestant's storage."""

from __future__ import annotations

from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import run
from benchmark.work import Work, first_start, lost_reports

_WORKERS = (1, 4, 16)
_REPORTS = {"sweep": 2000, "tune": 100, "optuna": 200, "syne": 500}
"""Reports of each worker: as many as take some seconds. (Here Tune's `reuse_actors` changes nothing.)"""


def cases(quick: bool, trials: int | None) -> list[Case]:
    return [
        Case("d", name, str(workers), Work(workers, workers, 0.125, 100 if quick else reports, together=True))
        for workers in (_WORKERS[1:2] if quick else _WORKERS)
        for name, reports in _REPORTS.items()
    ]


def measure(case: Case, folder: Path) -> Values:
    result = run(case.contestant, case.work, folder)
    seconds = result.stored - first_start(folder)
    return {
        "rate": len(result.histories) * case.work.reports / seconds,
        "lost": lost_reports(case.work, result.histories),
        "reports": case.work.reports,
    }


MEASUREMENT = Measurement(
    "Reports a second",
    """\
One trial for each worker. All begin at once and report as quickly as they can. The time ends when the
contestant has stored all reports. Lost reports are those that are missing in its storage, or not in their
order.""",
    cases,
    measure,
    {
        "Reports a second, and how many are missing or out of order": [
            Column("reports of a worker", "4", "reports", ",.0f"),
            *(
                column
                for workers in map(str, _WORKERS)
                for column in (
                    Column(f"{workers} worker{'s' * (workers != '1')}", workers, "rate", ",.0f", ratio=True),
                    Column("lost", workers, "lost", ".0f"),
                )
            ),
        ]
    },
)
