"""Statements about the parameters: which matter, which values are good, which act together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sweep.analysis import formatting
from sweep.analysis.directions import Direction, direction
from sweep.analysis.importance import SMALLEST_SHARE, Importance
from sweep.analysis.interaction import strongest_interaction
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.statement import Statement

_SHOWN = 5
_UNPREDICTABLE = 0.1
"""The R² below which nothing is said about parameters."""


def parameter_statements(model: MetricModel, ranked: Sequence[Importance]) -> list[Statement]:
    """The statements about the effect of the parameters on one metric.

    Args:
        model: the metric.
        ranked: the importances of its parameters.
    """
    suffix = f" ({model.name})" if len(model.view.spec.goals) > 1 else ""
    if not model.dimensions:
        return []
    if not model.is_enough:
        return [_cannot_tell(model, suffix)]
    columns = {dimension.name: column for column, dimension in enumerate(model.dimensions)}
    shown = [one for one in ranked if one.matters]
    statements = []
    for rank, one in enumerate(shown[:_SHOWN]):
        leads = rank == 0 and (len(shown) == 1 or _leads(model, columns[one.name], columns[shown[1].name]))
        based_on = (
            basis(model) if rank == 0 else formatting.plural(model.observations.complete, "complete trial")
        )
        found = direction(model, columns[one.name])
        statements.append(_of_parameter(one, found, leads, model.name, suffix, based_on))
    if not shown:
        r2 = model.surrogate.predictability
        text = f"Which parameters matter cannot be told{suffix}: none predicts {model.name} for sure."
        evidence = f"R² of a surrogate in leave-one-out cross-validation: {r2:.2f}; {basis(model)}"
        data = {"r2": round(r2, 4), "metric": model.name}
        statements.append(Statement("parameters", "cannot_tell", text, evidence, data))
    return [*statements, *_interaction(model, suffix)]


def is_predictable(model: MetricModel) -> bool:
    """Whether the parameters predict the metric well enough to say anything about them."""
    return model.surrogate.predictability >= _UNPREDICTABLE


def _cannot_tell(model: MetricModel, suffix: str) -> Statement:
    complete = model.observations.complete
    yet = " yet" if model.lacks_trials else ""
    text = f"Which parameters matter cannot be told{yet}{suffix}: {model.why_not_enough}."
    data = {"needed": model.needed, "complete": complete, "metric": model.name}
    evidence = formatting.plural(complete, "complete trial")
    return Statement("parameters", "cannot_tell", text, evidence, data)


def basis(model: MetricModel) -> str:
    """The trials on which a statement is based."""
    pruned = int(model.observations.is_pruned.sum())
    parts = [formatting.plural(model.observations.complete, "complete trial")]
    if model.is_sampled:
        parts.append(f"the surrogate is fitted to {len(model.fitted)} of them")
    if pruned:
        noun = "pruned one counts" if pruned == 1 else "pruned ones count"
        parts.append(f"{pruned} {noun} by the rank at the last step")
    if not model.counts_pruned:
        parts.append("pruned ones do not count: their last steps contradict the complete ones")
    if limited := int(model.observations.is_limited.sum()):
        parts.append(f"{limited} diverged, whose values were limited")
    return ", ".join(parts)


def _leads(model: MetricModel, first: int, second: int) -> bool:
    """Whether one parameter surely matters more than another."""
    pairs = model.surrogate.space.pairs
    return bool((model.shares.total(first, pairs) > model.shares.total(second, pairs)).mean() >= 0.9)


def _of_parameter(
    one: Importance, found: Direction | None, leads: bool, metric: str, suffix: str, based_on: str
) -> Statement:
    assert one.share is not None
    assert one.low is not None
    assert one.high is not None
    verb = "matters most" if leads else "matters"
    text = f"{one.name} {verb}{suffix} ({percent(one.share)} %, {percent(one.low)}-{percent(one.high)})"
    if one.total is not None and one.share < SMALLEST_SHARE:
        text = f"{one.name} {verb} together with others{suffix} ({percent(one.total)} %)"
    text += f": {describe(found)}." if found is not None else "."
    evidence = f"fANOVA of a surrogate over the space, 95 % range; {based_on}"
    if one.ped_anova is not None and one.ped_low is not None and one.ped_high is not None:
        ped = f"{percent(one.ped_anova)} %, {percent(one.ped_low)}-{percent(one.ped_high)}"
        evidence += f"; PED-ANOVA {ped} over resampling"
    data: dict[str, Any] = {
        "metric": metric,
        "name": one.name,
        "share": one.share,
        "low": one.low,
        "high": one.high,
        "total": one.total,
        "most": leads,
        "ped_anova": one.ped_anova,
        "ped_low": one.ped_low,
        "ped_high": one.ped_high,
    }
    if found is not None:
        data["trend"] = found.trend
        data["good"] = list(found.good) if found.trend == "choice" else [found.low, found.high]
    return Statement("parameters", "importance", text, evidence, data)


def describe(found: Direction) -> str:
    """Which values are good, as a part of a sentence."""
    if found.trend == "choice":
        names = [formatting.parameter(value) for value in found.good]
        if len(names) == 1:
            return f"{names[0]} is the best choice"
        if len(names) > 4:
            return "which choice is the best cannot be told yet"
        return f"{' or '.join(names)} is the best choice"
    low, high = formatting.parameter(found.low), formatting.parameter(found.high)
    between = f"between {low} and {high}" if low != high else f"at {low}"
    if found.trend == "lower":
        return f"lower is better, best {between}"
    if found.trend == "higher":
        return f"higher is better, best {between}"
    if found.trend == "inside":
        return f"best {between}"
    return "which values are best cannot be told yet"


def percent(share: float) -> str:
    """A share from 0 to 1 in percent, without the sign."""
    return f"{100 * share:.0f}"


def _interaction(model: MetricModel, suffix: str) -> list[Statement]:
    found = strongest_interaction(model)
    if found is None:
        return []
    first, second = found.names
    text = (
        f"{first} and {second} act together{suffix} ({percent(found.share)} %): which {first} is best "
        f"depends on {second}."
    )
    evidence = (
        f"fANOVA of a surrogate; the values are e^{min(found.evidence, 999):.0f} times more likely with the "
        f"interaction"
    )
    data = {
        "metric": model.name,
        "names": list(found.names),
        "share": found.share,
        "low": found.low,
        "high": found.high,
        "evidence": float(np.round(found.evidence, 3)),
    }
    return [Statement("parameters", "interaction", text, evidence, data)]
