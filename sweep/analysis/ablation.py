"""The ablation path: which changes lead from the defaults to the best configuration, the greatest gain first.

Fawcett and Hoos, "Analysing differences between algorithm configurations through ablation" (2016), with the
surrogate in place of new runs, as Biedenkapp et al. (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.analysis.metric_model import MetricModel


@dataclass(frozen=True)
class AblationStep:
    """One change of a configuration.

    Args:
        name: the parameter that changes; empty for the first step, the configuration that it starts from.
        before: its value before; None if it was inactive.
        after: its value after.
        value: the metric after the change, as the surrogate predicts it.
        low: the lower end of its 95 % interval.
        high: its upper end.
    """

    name: str
    before: Any
    after: Any
    value: float
    low: float
    high: float


def ablation(model: MetricModel) -> list[AblationStep]:
    """The path from the defaults, or from the trial nearest to the median, to the best configuration.

    Parameters with the same value in both are left out.

    Returns:
        the start and a step for each parameter that differs; nothing if there are too few trials.
    """
    if not model.is_enough:
        return []
    row, goal = _start(model), model.rows[model.index_of_best]
    steps = [_step(model, "", None, None, row)]
    while True:
        columns = [column for column in range(len(row)) if _differs(row[column], goal[column])]
        if not columns:
            return steps
        active = [column for column in columns if not np.isnan(goal[column])] or columns
        changed = np.repeat(row[None], len(active), axis=0)
        for place, column in enumerate(active):
            changed[place, column] = goal[column]
        losses, _ = model.surrogate.posterior(changed)
        column = active[int(np.argmin(losses))]
        before, row = row[column], changed[int(np.argmin(losses))]
        steps.append(
            _step(
                model,
                model.dimensions[column].name,
                _value(model, column, before),
                _value(model, column, row[column]),
                row,
            )
        )


def _start(model: MetricModel) -> np.ndarray:
    if model.defaults is not None:
        return model.row_of(model.defaults)
    complete = np.flatnonzero(~model.observations.is_pruned)
    losses = model.observations.losses[complete]
    return np.asarray(model.rows[complete[np.argsort(losses, kind="stable")[len(losses) // 2]]])


def _differs(one: float, other: float) -> bool:
    return one != other and not (np.isnan(one) and np.isnan(other))


def _value(model: MetricModel, column: int, position: float) -> Any:
    return None if np.isnan(position) else model.dimensions[column].decode(float(position))


def _step(model: MetricModel, name: str, before: Any, after: Any, row: np.ndarray) -> AblationStep:
    mean, covariance = model.surrogate.posterior(row[None])
    half = 1.96 * float(np.sqrt(covariance[0, 0]))
    low, high = sorted([model.value(mean[0] - half), model.value(mean[0] + half)])
    return AblationStep(name, before, after, model.value(mean[0]), low, high)
