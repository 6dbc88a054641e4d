"""`NextSpace`: the search space for a following sweep, narrowed to what is good and widened at its bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sweep.analysis import formatting
from sweep.analysis.directions import Direction, direction
from sweep.analysis.importance import Importance, importances
from sweep.analysis.metric_health import is_without_effect
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.parameter_statements import is_predictable
from sweep.analysis.range_scale import RangeScale, widened_bound
from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.constrained_sampler import check_feasible
from sweep.study.enqueue import enqueued_configurations
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.parameter_forms import dump_parameters
from sweep.sweepfile.parameters import Choice, Range
from sweep.sweepfile.tree import FlatParameter, flatten
from sweep.sweepfile.types import same_value

_MARGIN = 0.5
"""A narrowed range has so much of the good range's width on each side of it."""
_WORTHWHILE = 0.75
"""A range is narrowed only if the new one is at most this part of it."""


@dataclass(frozen=True)
class NextSpace:
    """A suggested search space.

    Args:
        parameters: the parameters as in a sweep file.
        changes: what differs from the sweep's own space and why, a sentence for each.
    """

    parameters: dict[str, Any]
    changes: Sequence[str]


def next_space(model: MetricModel) -> NextSpace:
    """The search space for the next sweep; the same one if too little is known, none with define-by-run."""
    if model.view.spec.is_define_by_run:
        return NextSpace({}, [])
    parameters = dump_parameters(model.view.spec.parameters.items())
    if not model.is_enough or not is_predictable(model):
        return NextSpace(parameters, [])
    nodes = flatten(model.view.spec.parameters)
    columns = {dimension.name: column for column, dimension in enumerate(model.dimensions)}
    changes = []
    for one in importances(model):
        node = nodes[one.name]
        if one.name in model.deciding:
            continue  # without one of its values, other parameters would never be active
        changed = _changed(model, one, node, columns[one.name])
        if changed is not None:
            entry, change = changed
            _replace(parameters, node.path, entry)
            changes.append(change)
    return NextSpace(parameters, changes)


def can_run(entries: Mapping[str, Any]) -> bool:
    """Whether a sweep with these entries of a sweep file is valid and has a configuration that can be run."""
    try:
        spec = SweepSpec.model_validate(entries)
        space = SearchSpace.of(spec)
        if spec.sampler.type in EXHAUSTIVE:
            space.check_grid()
        else:
            check_feasible(space, is_quick=True)
        enqueued_configurations(spec, space)  # slower if nothing is feasible, so not before
    except (ValidationError, EntryError):
        return False
    return True


def _changed(
    model: MetricModel, one: Importance, node: FlatParameter, column: int
) -> tuple[dict[str, Any], str] | None:
    """The new entry of a parameter, and the sentence that says so; None if it stays."""
    if is_without_effect(one):
        best = model.view.params(model.trial(model.index_of_best)).get(one.name)
        if best is None:
            return None
        return {"value": best}, f"{one.name} has no visible effect: fixed at {formatting.parameter(best)}."
    found = direction(model, column) if one.matters else None
    if found is None:
        return None
    if isinstance(node.parameter, Choice):
        weights = node.parameter.probabilities
        best = model.view.params(model.trial(model.index_of_best)).get(one.name)
        worse = [value for value in found.worse if not same_value(value, best)]
        kept = [
            index
            for index, value in enumerate(node.parameter.values)
            if not any(same_value(value, other) for other in worse)
        ]
        if len(kept) == len(node.parameter.values):
            return None
        entry: dict[str, Any] = {"values": [node.parameter.values[index] for index in kept]}
        if weights is not None:
            entry["probabilities"] = [weights[index] for index in kept]
        names = ", ".join(formatting.parameter(value) for value in entry["values"])
        return entry, f"{one.name} keeps {names}: the other choices were worse."
    if isinstance(node.parameter, Range) and node.parameter.alternatives is None:
        return _range(node.parameter, found)
    return None


def _range(parameter: Range, found: Direction) -> tuple[dict[str, Any], str] | None:
    scale = RangeScale(parameter)
    low, high = scale.position(found.low), scale.position(found.high)
    margin = _MARGIN * (high - low)
    first = low if "lower" in found.ends else max(0.0, low - margin)
    last = high if "upper" in found.ends else min(1.0, high + margin)
    if last - first > _WORTHWHILE:
        first, last = first if "lower" in found.ends else 0.0, last if "upper" in found.ends else 1.0
    why = "narrowed to where it is good"
    new_low, new_high = scale.value(first), scale.value(last)
    wider = None if found.at_bound is None else widened_bound(parameter, found.at_bound == "upper")
    if wider is not None and found.at_bound == "upper":
        new_high, why = wider, f"wider, because the best lies at its upper bound {parameter.max}"
    elif wider is not None:
        new_low, why = wider, f"wider, because the best lies at its lower bound {parameter.min}"
    if (new_low, new_high) == (parameter.min, parameter.max) or new_low >= new_high:
        return None
    entry: dict[str, Any] = {"min": new_low, "max": new_high}
    if parameter.log:
        entry["log"] = True
    if parameter.step is not None and parameter.step <= new_high - new_low:
        entry["step"] = parameter.step
    between = f"{formatting.parameter(new_low)} to {formatting.parameter(new_high)}"
    return entry, f"{found.name} is searched from {between}: {why}."


def _replace(parameters: dict[str, Any], path: Sequence[str], entry: dict[str, Any]) -> None:
    """Put a new entry into the place of a parameter, which keeps its condition."""
    inside = parameters
    for name in path[:-1]:
        inside = inside[name]["parameters"]
    old = inside[path[-1]]
    if isinstance(old, dict) and "when" in old:
        entry = {**entry, "when": old["when"]}
    inside[path[-1]] = entry
