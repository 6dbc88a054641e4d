"""The cost of a trial: trials that only report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import PEERS, run
from benchmark.work import Span, Work, read_spans

_TRIALS = {"sweep": 1000, "tune": 6, "tune-reuse": 1000, "optuna": 1000, "syne": 16}
"""The same number, but few for those who start a process for each trial."""
_TORCH_TRIALS = {**_TRIALS, "tune": 4, "syne": 8}
_CASES = {
    "Random sampling": {"sampler": "random"},
    "TPE": {"sampler": "tpe"},
    "Random sampling, and the objective's module imports torch": {"sampler": "random", "torch": True},
}


def cases(quick: bool, trials: int | None) -> list[Case]:
    return [
        Case("a", name, label, Work(4 if quick else _trials(name, options), **options))
        for label, options in list(_CASES.items())[: 1 if quick else None]
        for name in PEERS
    ]


def _trials(name: str, options: Mapping[str, object]) -> int:
    return (_TORCH_TRIALS if "torch" in options else _TRIALS)[name]


def measure(case: Case, folder: Path) -> Values:
    result = run(case.contestant, case.work, folder)
    return {**cost(read_spans(folder), case.work.slots), "all": 1000 * result.seconds / len(result.histories)}


def cost(spans: Sequence[Span], slots: int) -> Values:
    """Milliseconds a trial, from the first start of a trial to the last one."""
    return {"ms": 1000 * (spans[-1].start - spans[0].start) / (len(spans) - slots), "trials": len(spans)}


MEASUREMENT = Measurement(
    "Cost per trial",
    """\
Trials that only report ten values, on two slots of one core. The cost is the time from the first start of
a trial to the last one, divided by the trials in between. The next column is the time of the whole sweep
without the start of Ray, divided by all trials.""",
    cases,
    measure,
    {
        label: [
            Column("ms a trial", label, "ms", ratio=True),
            Column("with the start of the workers", label, "all", ratio=True),
            Column("trials", label, "trials", ",.0f"),
        ]
        for label in _CASES
    },
)
