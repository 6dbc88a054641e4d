"""The share of the slots' time that is spent training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import PEERS, run
from benchmark.work import Span, Work, read_spans

_SLOTS = (8, 16)
_STARTS_PROCESSES = {"tune": 8, "syne": 24}
"""How many trials those contestants run that start a process for each: the others run 96."""


def cases(quick: bool, trials: int | None) -> list[Case]:
    return [
        _case(name, slots, verdicts, 8 if quick else _STARTS_PROCESSES.get(name, 96))
        for slots in (_SLOTS[:1] if quick else _SLOTS)
        for verdicts in ((True,) if quick else (False, True))
        for name in PEERS
    ]


def _case(name: str, slots: int, verdicts: bool, trials: int) -> Case:
    more = {"reports": 10, "verdicts": True, "pause": 0.1} if verdicts else {"reports": 1, "pause": 1.0}
    reason = ""
    if name in _STARTS_PROCESSES and slots > 8:
        reason = "on 8 slots only: it starts a process for each trial, which keeps the cores busy"
    return Case("b", name, _label(slots, verdicts), Work(trials, slots, 0.25, **more), reason)


def _label(slots: int, verdicts: bool) -> str:
    return f"{slots} slots, ten verdicts a trial" if verdicts else f"{slots} slots"


def measure(case: Case, folder: Path) -> Values:
    result = run(case.contestant, case.work, folder)
    return shares(read_spans(folder), case.work.slots, result.seconds)


def shares(spans: Sequence[Span], slots: int, seconds: float) -> Values:
    """The share of the slots' time spent training: overall, and once all slots have started.

    Args:
        spans: the trials.
        slots: the number of slots.
        seconds: the wall time of the sweep, with the start of its workers.
    """
    at_once = [sum(other.start <= span.start < other.end for other in spans) for span in spans]
    begin = min(span.start for span, count in zip(spans, at_once, strict=True) if count == max(at_once))
    end = max(span.start for span in spans)
    inside = sum(
        span.trained * max(0.0, min(span.end, end) - max(span.start, begin)) / (span.end - span.start)
        for span in spans
    )
    return {
        "overall": sum(span.trained for span in spans) / (slots * seconds),
        "steady": inside / (slots * (end - begin)) if end > begin else 1.0,
    }


MEASUREMENT = Measurement(
    "Slots busy",
    """\
The share of the slots' time that is spent training: in the whole sweep without the start of Ray, and
(steady) from the moment at which all slots run to the last start of a trial. A slot has a quarter of a
core. A trial trains for one second; one with verdicts reports after each tenth of it, and asks a median
pruner, which stops none of them. There are 96 trials, but 8 of Ray Tune without `reuse_actors` and 24 of
Syne Tune, which start a process for each.""",
    cases,
    measure,
    {
        "Share of the slots' time": [
            Column(heading, _label(slots, verdicts), value, ".1%")
            for slots in _SLOTS
            for verdicts in (False, True)
            for heading, value in ((_label(slots, verdicts), "overall"), ("steady", "steady"))
        ]
    },
)
