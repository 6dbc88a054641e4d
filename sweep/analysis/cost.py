"""`cost_statements`: what a sweep has cost, what was lost, and what pruning has saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import TrialState

from sweep.analysis import formatting as text
from sweep.analysis.statement import Statement
from sweep.analysis.timeline import Span, timeline
from sweep.analysis.view import SweepView
from sweep.controller.gpu_sharing import GpuSharing
from sweep.messages import STOPPED_BY_USER
from sweep.study import attributes

_LEAST_COMPLETE = 5
"""From how many complete trials on it is estimated what pruning has saved."""
_IDLE_SHARE = 0.15
"""From which share on idle slots are worth a statement,"""
_IDLE_SECONDS = 60.0
"""and from which time."""


@dataclass(frozen=True)
class Cost:
    """What a sweep has cost.

    Args:
        slot_hours: the time that its slots spent on trials, summed over the slots.
        gpu_hours: the same, times the GPUs of a trial.
    """

    slot_hours: float
    gpu_hours: float

    @classmethod
    def of(cls, view: SweepView) -> Cost:
        """The cost of a sweep so far, as it was last recorded."""
        hours = view.usage.busy / 3600
        return cls(hours, hours * gpus_of_a_trial(view))


def gpus_of_a_trial(view: SweepView) -> float:
    """The GPUs of a trial, or its share of one; with `gpu: auto` the share of the latest trials."""
    if view.spec.resources.is_auto and view.study is not None:
        return GpuSharing.restored(view.study.user_attrs.get(attributes.GPU_SHARING)).share
    return view.spec.resources.gpus * view.spec.resources.workers


def cost_statements(view: SweepView) -> list[Statement]:
    """What a sweep has cost, what was lost to failures and idle slots, and what pruning has saved."""
    spans = timeline(view)
    if not any(span.seconds > 0 for span in spans):  # none has started, or they come from another study
        return []
    return [_cost(view, spans), *_failures(view, spans), *_saved(view, spans), *_idle(view, spans)]


def _cost(view: SweepView, spans: Sequence[Span]) -> Statement:
    usage, cost, gpus = view.usage, Cost.of(view), gpus_of_a_trial(view)
    if usage.until == 0:  # the trials come from another study
        seconds = sum(span.seconds for span in spans)
        data: dict[str, Any] = {"slot_hours": seconds / 3600, "gpu_hours": seconds / 3600 * gpus}
        return Statement(
            "cost", "cost", f"The trials took {slot_time(seconds)}.", "from their start and end", data
        )
    data = {
        "slot_hours": cost.slot_hours,
        "gpu_hours": cost.gpu_hours,
        "elapsed_s": usage.elapsed,
        "slots": usage.capacity / usage.elapsed if usage.elapsed > 0 else None,
        "utilisation": usage.utilisation,
    }
    with_gpus = f" ({cost.gpu_hours:.3g} GPU hours)" if gpus > 0 else ""
    sentence = f"The trials took {slot_time(usage.busy)}{with_gpus}, in {text.duration(usage.elapsed)}."
    evidence = ""
    if usage.utilisation is not None and data["slots"] is not None:
        slots = round(data["slots"], 1)
        evidence = f"{text.plural(int(slots) if slots == int(slots) else slots, 'slot')}"
        evidence += f", busy {usage.utilisation:.0%} of the time"
    return Statement("cost", "cost", sentence, evidence, data)


def _failures(view: SweepView, spans: Sequence[Span]) -> list[Statement]:
    """The time of failed trials, and of attempts after which the trial is tried again."""
    failed = [span for span in spans if span.state == "FAIL"]
    retried = [span for span in spans if span.state == "RETRIED"]
    lost, total = (sum(span.seconds for span in group) for group in ([*failed, *retried], spans))
    if not failed and not retried:
        return []
    share = lost / total if total > 0 else 0.0
    numbers = len({span.number for span in failed})
    counted = [text.plural(numbers, "failed trial")] * bool(numbers)
    if retried:
        were = "was" if len(retried) == 1 else "were"
        counted.append(f"{text.plural(len(retried), 'attempt')} that failed or {were} interrupted")
    return [
        Statement(
            "cost",
            "lost_to_failures",
            f"{' and '.join(counted)} took {slot_time(lost)}, {share:.0%} of the time of all trials.",
            "",
            {"slot_hours": lost / 3600, "share": share, "failed": numbers, "retried": len(retried)},
        )
    ]


def _saved(view: SweepView, spans: Sequence[Span]) -> list[Statement]:
    """An estimate of what pruning has saved."""
    durations: dict[str, dict[int, float]] = {"COMPLETE": {}, "PRUNED": {}}
    stopped = {
        trial.number
        for trial in view.frozen_trials
        if trial.user_attrs.get(attributes.REASON) == STOPPED_BY_USER
    }
    for span in spans:
        if span.state in durations and not (span.state == "PRUNED" and span.number in stopped):
            known = durations[span.state]
            known[span.number] = known.get(span.number, 0.0) + span.seconds
    complete, pruned = (np.array(list(durations[state].values())) for state in ("COMPLETE", "PRUNED"))
    # Not those that the user has stopped.
    finished = sum(
        trial.state == TrialState.PRUNED and trial.number not in stopped for trial in view.frozen_trials
    )
    if not finished:
        return []
    data: dict[str, Any] = {"pruned": finished, "complete": len(complete), "slot_hours": None}
    if len(complete) < _LEAST_COMPLETE or not len(pruned):
        sentence = (
            f"What pruning has saved cannot be told from {text.plural(len(complete), 'complete trial')}: "
            f"it takes {_LEAST_COMPLETE}."
        )
        return [Statement("cost", "saved", sentence, "", data)]
    typical = np.quantile(complete, [0.5, 0.25, 0.75])
    saved, low, high = (float(np.maximum(0.0, length - pruned).sum()) for length in typical)
    share = saved / (saved + float(pruned.sum() + complete.sum())) if saved > 0 else 0.0
    return [
        Statement(
            "cost",
            "saved",
            f"Pruning has saved about {slot_time(saved)}, {share:.0%} of what the trials would have taken.",
            f"an estimate: {text.plural(len(pruned), 'pruned trial')}, and the median duration of "
            f"{len(complete)} complete ones, {text.duration(float(typical[0]))}; with their quartiles "
            f"{text.duration(low)} to {text.duration(high)}",
            data | {"slot_hours": saved / 3600, "low": low / 3600, "high": high / 3600, "share": share},
        )
    ]


def _idle(view: SweepView, spans: Sequence[Span]) -> list[Statement]:
    """How much of the slots' time was lost, and to what, as far as it is recorded."""
    usage = view.usage
    idle = usage.capacity - usage.busy
    if usage.capacity <= 0 or idle < _IDLE_SECONDS or idle < _IDLE_SHARE * usage.capacity:
        return []
    parts = {
        "before the first trial": usage.startup,
        "waiting for the sampler": usage.sampling,
        "at the end, when no trial was left to start": 0.0 if view.is_running else _at_the_end(spans),
    }
    known = {what: min(1.0, seconds / idle) for what, seconds in parts.items() if seconds > 0.05 * idle}
    causes = ", ".join(f"{share:.0%} of it {what}" for what, share in known.items())
    return [
        Statement(
            "health",
            "idle",
            f"The slots were idle {idle / usage.capacity:.0%} of the time, {slot_time(idle)}"
            + (f": {causes}." if causes else "."),
            "",
            {
                "slot_hours": idle / 3600,
                "share": idle / usage.capacity,
                "startup_hours": usage.startup / 3600,
                "sampling_hours": usage.sampling / 3600,
                "end_hours": parts["at the end, when no trial was left to start"] / 3600,
            },
        )
    ]


def _at_the_end(spans: Sequence[Span]) -> float:
    """The time of the slots between the end of their last attempt and that of the sweep."""
    last_start, end = max(span.start for span in spans), max(span.end for span in spans)
    ends: dict[int, float] = {}
    for span in spans:
        ends[span.lane] = max(ends.get(span.lane, last_start), span.end)
    return sum(end - other for other in ends.values())


def slot_time(seconds: float) -> str:
    """A time that is summed over slots, as text: 3.2 slot hours, 12 s of slot time."""
    return f"{seconds / 3600:.3g} slot hours" if seconds >= 360 else f"{text.duration(seconds)} of slot time"
