"""What the end of an attempt means for its trial."""

from __future__ import annotations

import math

from sweep.errors import suggestion
from sweep.messages import Outcome, TrialStateName
from sweep.study.ranking import Ranking


def final_metrics(outcome: Outcome, metric: str) -> dict[str, float]:
    """The last value of everything an attempt logged or returned; `metric` is what it returned."""
    own = {} if outcome.value is None else {metric: outcome.value}
    return {**outcome.metrics, **own}


def resolve_state(outcome: Outcome, ranking: Ranking, metric: str) -> tuple[TrialStateName | None, str]:
    """What an attempt's end means for its trial (None: nothing), and why if it did not end well."""
    if outcome.kind in ("interrupted", "disk_full"):
        return None, outcome.reason
    if outcome.kind in ("pruned", "stopped"):
        return "PRUNED", outcome.reason
    if outcome.kind == "oom":
        return "FAIL", f"oom: {outcome.reason}"
    if outcome.kind != "returned":
        return "FAIL", outcome.reason
    if outcome.value is None or math.isnan(outcome.value):
        return "FAIL", "the metric is NaN"
    numbers = final_metrics(outcome, metric)
    missing = ranking.missing(numbers)
    if missing is not None:
        what = "is NaN" if missing in numbers else f"was never logged; {suggestion(missing, numbers)}"
        return "FAIL", f"the metric {missing!r} {what}"
    return "COMPLETE", ""
