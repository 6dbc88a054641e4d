"""`metric_importances`: how much each parameter matters, for each metric of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from sweep.analysis.importance import Importance, importances
from sweep.analysis.metric_model import metric_model
from sweep.analysis.view import SweepView


@dataclass(frozen=True)
class MetricImportances:
    """How much the parameters matter for one metric.

    Args:
        metric: its name.
        complete: the number of complete trials.
        needed: how many are needed.
        is_enough: whether these suffice to tell.
        why_not_enough: why not, without a final period; empty if they do.
        parameters: the importances, the largest first; empty unless `is_enough`.
    """

    metric: str
    complete: int
    needed: int
    is_enough: bool
    why_not_enough: str
    parameters: Sequence[Importance]

    def to_dict(self) -> dict[str, Any]:
        """As `sweep importance --json` prints it."""
        return {**vars(self), "parameters": [vars(one) for one in self.parameters]}


def metric_importances(view: SweepView) -> list[MetricImportances]:
    """How much the parameters matter, for each metric with a goal. Works on every sweep."""
    with threadpool_limits(1):  # the matrices are small
        models = [metric_model(view, goal) for goal in range(len(view.spec.goals))]
        return [
            MetricImportances(
                model.name,
                model.observations.complete,
                model.needed,
                model.is_enough,
                model.why_not_enough,
                importances(model) if model.is_enough else [],
            )
            for model in models
        ]
