"""The share of the slots' time that is spent training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.case import Case, Values
from benchmark.contestants import PEERS, run
from benchmark.table import Column
from benchmark.work import Span, Work, read_spans

TITLE = "Slots busy: trials of one second, on slots of a quarter core"
LIMIT = 1800
_SLOTS = (8, 16)
COLUMNS = [
    Column(f"{slots} slots{heading}, {value}", f"{slots}{suffix}", value, ".1%")
    for slots in _SLOTS
    for suffix, heading in (("", ""), (" verdicts", ", ten verdicts a trial"))
    for value in ("overall", "steady")
]


def cases(quick: bool) -> list[Case]:
    trials = 16 if quick else 96
    return [
        Case(
            "b",
            name,
            f"{slots} verdicts" if verdicts else f"{slots}",
            Work(trials, slots, 0.25, 10, True, 0.1) if verdicts else Work(trials, slots, 0.25, 1, pause=1.0),
        )
        for slots in (_SLOTS[:1] if quick else _SLOTS)
        for verdicts in (False, True)
        for name in PEERS
    ]


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
