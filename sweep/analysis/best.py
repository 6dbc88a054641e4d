"""Statements about the best configuration: its value, how sure it is that it is the best, and the gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.analysis import formatting
from sweep.analysis.dependence import drawn
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.statement import Statement

_CANDIDATES = 40
_MOST_SHOWN = 15
"""How many parameters of the best trial a sentence has; `sweep best` prints all."""
_DRAWS = 2000
_DEVIATIONS = 1.96
"""Half the width of an interval, in standard deviations: of 95 % of a normal distribution. The posterior
already has the uncertainty of the variances and a correction for the degrees of freedom."""
_RIVAL = 0.05
"""A trial cannot be told apart from the best one if it is better with at least this probability."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, which contains the truth with a probability of 95 %."""

    value: float
    low: float
    high: float


def best_statements(model: MetricModel) -> list[Statement]:
    """The statements about the best configuration of a sweep with one goal."""
    best = model.view.best
    assert best is not None
    shown = f"Trial {best.number} is the best: {model.name} = {formatting.number(best.values[0])}"
    chosen, varied = model.view.params(best), model.view.varied
    active = [name for name in varied if name in chosen]
    params = formatting.parameters({name: chosen[name] for name in active[:_MOST_SHOWN]})
    if len(active) > _MOST_SHOWN:
        params += f" and {len(active) - _MOST_SHOWN} others"
    data = {"number": best.number, "value": best.values[0], "params": dict(chosen)}
    if not model.is_enough or best.number != model.trial(model.index_of_best).number:
        text = f"{shown} with {params}." if params else f"{shown}."
        why = "its value is not finite" if model.is_enough else model.why_not_enough
        evidence = f"how sure that is cannot be told: {why}"
        return [Statement("best", "best", text, evidence, data)]
    estimate, probability, rivals = compare_best(model)
    interval = formatting.span(estimate.low, estimate.high)
    text = (
        f"{shown} (on average {interval}), with {params}." if params else f"{shown} (on average {interval})."
    )
    statements = [
        Statement(
            "best",
            "best",
            text,
            f"95 % interval of its expected value, {_source(model)}",
            {**data, "estimate": estimate.value, "low": estimate.low, "high": estimate.high},
        )
    ]
    others = [model.trial(index).number for index in rivals]
    sure = f"It really is the best of these trials with a probability of {_percent(probability)}"
    if others:
        names = ", ".join(map(str, others[:5])) + (" and others" if len(others) > 5 else "")
        noun = "trial" if len(others) == 1 else "trials"
        sure += f"; {noun} {names} cannot be told apart from it"
    statements.append(
        Statement(
            "best",
            "sureness",
            f"{sure}.",
            _source(model),
            {"probability": round(probability, 4), "rivals": others},
        )
    )
    return [*statements, *_gain(model)]


def compare_best(model: MetricModel) -> tuple[Estimate, float, list[int]]:
    """The best trial's mean, the probability that no other trial has a better one, and those that could."""
    best = model.index_of_best
    seen = model.observations
    order = np.argsort(np.where(model.can_win, seen.losses, np.inf), kind="stable")[:_CANDIDATES]
    candidates = [best, *(int(index) for index in order if index != best and model.can_win[index])]
    mean, covariance = model.surrogate.posterior(model.rows[candidates])
    deviation = float(np.sqrt(covariance[0, 0]))
    estimate = _estimate(model, float(mean[0]), _DEVIATIONS * deviation)
    draws = drawn(mean, covariance, _DRAWS)
    is_same = (
        np.nan_to_num(model.rows[candidates], nan=-1.0) == np.nan_to_num(model.rows[best], nan=-1.0)
    ).all(1)
    draws[:, is_same] = draws[:, :1]
    probability = float((draws[:, 0] <= draws.min(axis=1)).mean())
    better = (draws[:, 1:] < draws[:, :1]).mean(axis=0)
    rivals = [
        candidates[place + 1] for place in np.argsort(-better, kind="stable") if better[place] >= _RIVAL
    ]
    return estimate, probability, rivals


def _estimate(model: MetricModel, loss: float, half: float) -> Estimate:
    ends = [model.value(loss - half), model.value(loss + half)]
    return Estimate(model.value(loss), min(ends), max(ends))


def _gain(model: MetricModel) -> list[Statement]:
    """How much better the best configuration is than the defaults, or than the median trial."""
    best = model.rows[model.index_of_best]
    defaults = model.defaults
    if defaults is not None:
        row = model.row_of(defaults)
        same = [index for index, other in enumerate(model.rows) if np.array_equal(other, row, equal_nan=True)]
        than, evidence = "the defaults", _source(model)
        if same:
            evidence = f"trial {model.trial(same[0]).number} ran them; {evidence}"
        else:
            evidence = f"no trial ran them; {evidence}"
        mean, covariance = model.surrogate.posterior(np.array([best, row]))
        loss = float(mean[1] - mean[0])
        half = _DEVIATIONS * float(
            np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0))
        )
    else:
        mean, covariance = model.surrogate.posterior(best[None])
        than, evidence = "the median trial", f"not all parameters have a default; {_source(model)}"
        middle = float(np.median(model.observations.losses[model.can_win]))
        loss, half = middle - float(mean[0]), _DEVIATIONS * float(np.sqrt(covariance[0, 0]))
    low, high = loss - half, loss + half
    if low <= 0:
        text = f"Whether it is better than {than} cannot be told yet."
    else:
        text = f"It is better than {than} by {formatting.number(loss)} ({formatting.span(low, high)})."
    return [Statement("best", "gain", text, evidence, {"than": than, "gain": loss, "low": low, "high": high})]


def _source(model: MetricModel) -> str:
    """Where the uncertainty comes from."""
    r2 = f"whose R² is {model.surrogate.predictability:.2f} in leave-one-out cross-validation"
    if model.observations.noise is not None:
        return (
            f"from the spread over {model.observations.repeats:.2g} repeats of each configuration, and "
            f"a surrogate {r2}"
        )
    return f"from the residual spread of a surrogate {r2}"


def _percent(share: float) -> str:
    if share > 0.99:
        return "over 99 %"
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"
