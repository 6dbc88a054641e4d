"""Derives the state of a trial from the outcome of an attempt."""

from __future__ import annotations

import math

from sweep.errors import suggestion
from sweep.messages import Outcome, TrialStateName
from sweep.study.ranking import Ranking


def final_metrics(outcome: Outcome, metric: str) -> dict[str, float]:
    """The last value of every metric that an attempt logged; for `metric`, the value that it returned."""
    returned = {} if outcome.value is None else {metric: outcome.value}
    return {**outcome.metrics, **returned}


def resolve_state(outcome: Outcome, ranking: Ranking, metric: str) -> tuple[TrialStateName | None, str]:
    """The final state that an outcome gives to its trial, and the reason for the user.

    Returns:
        the state, None if the trial must run again, and the reason.
    """
    if outcome.kind in ("interrupted", "disk_full"):
        return None, outcome.reason
    if outcome.kind in ("pruned", "stopped"):
        return "PRUNED", outcome.reason
    if outcome.kind != "returned":
        return "FAIL", f"oom: {outcome.reason}" if outcome.kind == "oom" else outcome.reason
    if outcome.value is None or math.isnan(outcome.value):
        return "FAIL", "the metric is NaN"
    metrics = final_metrics(outcome, metric)
    missing = ranking.missing(metrics)
    if missing is not None:
        problem = "is NaN" if missing in metrics else f"was never logged; {suggestion(missing, metrics)}"
        return "FAIL", f"the metric {missing!r} {problem}"
    return "COMPLETE", ""
