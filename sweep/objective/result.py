"""What an objective may return, and what the metric is then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.errors import suggestion
from sweep.trial.scalars import as_number


class BadResultError(ValueError):
    """An objective returned something that says nothing about the metric."""


def read_result(
    result: Any, goals: Sequence[str], last_reported: float | None
) -> tuple[float, dict[str, float]]:
    """The metric's value and all metrics of what an objective returned.

    Args:
        result: a number (the metric), one for each goal, a mapping of metrics, or None (then the last
            reported value counts, as it does for a mapping without the metric).
        goals: the names of the metrics to be optimised; the first is the metric.
        last_reported: its last reported value.

    Raises:
        BadNumberError: one of them is no number.
        BadResultError: they say nothing about the metric.
    """
    metric = goals[0]
    if isinstance(result, (tuple, list)):
        if len(result) != len(goals):
            raise BadResultError(
                f"the objective returned {len(result)} values, but of metrics with a goal there is "
                f"{', '.join(goals)}; write metrics: [{{name: ..., goal: ...}}, ...], one for each value "
                "(in Python goals=[...])"
            )
        result = dict(zip(goals, result, strict=True))
    if isinstance(result, Mapping):
        metrics = {str(name): as_number(value, f"{name!r}") for name, value in result.items()}
    elif result is None:
        metrics = {}
    else:
        metrics = {metric: as_number(result, "what the objective returned")}
    if metric in metrics:
        return metrics[metric], metrics
    if last_reported is not None:
        return last_reported, metrics
    if metrics:
        raise BadResultError(f"the objective returned no {metric!r}; {suggestion(metric, metrics)}")
    raise BadResultError(
        "the objective returned nothing and reported nothing; return the metric or call trial.report"
    )
