"""What a report shows of the parameters: importance, the curve of each, ablation, the next search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from sweep.analysis.ablation import AblationStep, ablation
from sweep.analysis.dependence import curve
from sweep.analysis.formatting import distinct
from sweep.analysis.importance import Importance, importances
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.next_space import can_run, next_space
from sweep.rendering.columns import as_json
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.yaml import read_value, write_yaml

_DIGITS = 6


@dataclass(frozen=True)
class NextSearch:
    """A sweep file for the next search.

    Args:
        name: the name of that sweep.
        file: the file.
        changes: what differs from this sweep, a sentence for each.
    """

    name: str
    file: str
    changes: Sequence[str]


def parameter_data(model: MetricModel) -> dict[str, Any]:
    """What the page's script draws of one metric over the parameters."""
    if not len(model.observations.losses):
        return {"metric": model.name, "importance": [], "curves": {}, "ablation": None}
    with threadpool_limits(1):  # the matrices are small
        curves = {
            dimension.name: _curve(model, column)
            for column, dimension in enumerate(model.dimensions)
            if model.is_enough
        }
        return {
            "metric": model.name,
            "importance": [found for one in importances(model) if (found := _importance(one))["methods"]],
            "curves": {name: found for name, found in curves.items() if found is not None},
            "ablation": _ablation(model),
        }


def _importance(one: Importance) -> dict[str, Any]:
    ends = {
        "fANOVA": (one.share, one.low, one.high),
        "PED-ANOVA": (one.ped_anova, one.ped_low, one.ped_high),
    }
    methods = {
        method: {
            "value": as_json(value, _DIGITS),
            "low": as_json(low, _DIGITS),
            "high": as_json(high, _DIGITS),
        }
        for method, (value, low, high) in ends.items()
        if value is not None
    }
    return {"parameter": one.name, "methods": methods}


def _curve(model: MetricModel, column: int) -> dict[str, Any] | None:
    dimension = model.dimensions[column]
    found = None if dimension.is_unordered else curve(model, column)
    if found is None:
        return None
    choices = dimension.choices
    return {
        # The page finds a choice by its text, which depends on the other choices.
        "x": [as_json(value, _DIGITS) for value in found.values]
        if choices is None
        else distinct([*choices, *found.values])[len(choices) :],
        **{
            key: [as_json(float(value), _DIGITS) for value in values]
            for key, values in (("y", found.mean), ("low", found.low), ("high", found.high))
        },
    }


def _ablation(model: MetricModel) -> dict[str, Any] | None:
    start = "the defaults" if model.defaults is not None else "the median trial"
    steps = ablation(model)
    if len(steps) < 2:
        return None
    return {
        "start": start,
        "steps": [
            {
                "label": _label(step) if step.name else start,
                "value": as_json(step.value, _DIGITS),
                "low": as_json(step.low, _DIGITS),
                "high": as_json(step.high, _DIGITS),
            }
            for step in steps
        ],
    }


def _label(step: AblationStep) -> str:
    values = [step.before, step.after]
    shown = zip(values, distinct(values), strict=True)
    before, after = ("not set" if value is None else text for value, text in shown)
    return f"{step.name}: {before} → {after}"


def next_search(model: MetricModel) -> NextSearch | None:
    """The sweep file for the next search; None if nothing speaks for another space, or it could not be run.

    What is good of each parameter alone can violate a constraint on several.
    """
    found = next_space(model)
    if not found.changes:
        return None
    name = f"{model.view.spec.name}-next"
    spec = model.view.spec
    data = {**read_value(spec.to_yaml()), "name": name, "parameters": found.parameters}
    data.pop("enqueue", None)  # the configurations can lie outside the new space
    for key, field in SweepSpec.model_fields.items():
        if key in data and getattr(spec, key) == field.get_default(call_default_factory=False):
            del data[key]
    return NextSearch(name, write_yaml(data), found.changes) if can_run(data) else None
