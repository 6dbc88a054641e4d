"""Reads the metrics from the value that an objective returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.errors import suggestion
from sweep.trial.scalars import as_number


class BadResultError(ValueError):
    """The return value of an objective does not contain the metric."""


def read_result(
    result: Any, goals: Sequence[str], last_reported: float | None, problem: str = ""
) -> tuple[float, dict[str, float]]:
    """The value of the metric and of all other metrics that an objective returned.

    Args:
        result: a number (the metric), a sequence of one number for each goal, a mapping of metrics, or None.
            The last reported value counts for None, and for a mapping without the metric.
        goals: the names of the metrics that are optimized; the first one is the metric.
        last_reported: the last reported value of the metric.
        problem: why that value does not count; empty if it does.

    Returns:
        the value of the metric, and the returned metrics by name.

    Raises:
        BadNumberError: a value is not a number.
        BadResultError: the metric is neither returned nor reported.
    """
    metric = goals[0]
    if isinstance(result, (tuple, list)):
        if len(result) != len(goals):
            raise BadResultError(
                f"the objective returned {len(result)} values, but the metrics with a goal are "
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
    if problem:
        raise BadResultError(problem)
    if last_reported is not None:
        return last_reported, metrics
    if metrics:
        raise BadResultError(f"the objective returned no {metric!r}; {suggestion(metric, metrics)}")
    raise BadResultError(
        "the objective returned nothing and reported nothing; return the metric or call trial.report"
    )
