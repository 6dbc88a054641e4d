"""`pruning_statements`: whether early steps predict the end, and whether the pruner is idle or too eager."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from sweep.analysis import formatting as text
from sweep.analysis.rank_correlation import Correlation, Floats, Z, interval, ranks, spearman, without_order
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView
from sweep.controller.reports import compares_results
from sweep.study import attributes

LEAST = 10
"""The number of complete trials from which a correlation is computed."""
ENOUGH = 0.8
"""A step predicts the end if the whole interval of its correlation is above this."""
NOTHING = 0.5
"""Steps say nothing about the end if the interval of their correlation contains 0 and is below this."""
MOST_PRUNED = 2
"""How many trials can be pruned for each complete one, so that these still say something about all trials."""
_MOST_STEPS = 40
_MOST_TRIALS = 2000
"""Of longer sweeps, evenly chosen trials are enough, and quick."""
_DELAYS = {
    "median": "warmup_steps",
    "percentile": "warmup_steps",
    "asha": "min_resource",
    "hyperband": "min_resource",
    "bands": "min_iter",
}
"""The option of each pruner by which it begins later."""
_SAFETY_NETS = ("none", "threshold")
"""Pruners that are expected to prune nothing in a good sweep."""


@dataclass(frozen=True, eq=False)
class EarlyStep:
    """How well the value at one step predicts the end.

    Args:
        step: the step.
        correlation: its rank correlation with the end, over the complete trials, as it would be without
            pruning.
        values: the value of each complete trial at the step; NaN for those that are not compared.
        ratio: by how much more the values at the step spread over all trials than over the complete ones.
    """

    step: int
    correlation: Correlation
    values: Floats
    ratio: float


def pruning_statements(view: SweepView) -> list[Statement]:
    """Whether early steps predict the end, and whether the pruner is too eager or idle."""
    if compares_results(view.spec):  # its steps are the repeats of a trial
        return []
    complete = [trial for trial in view.frozen_trials if trial.state == TrialState.COMPLETE]
    pruned = [
        trial
        for trial in view.frozen_trials
        if trial.state == TrialState.PRUNED and attributes.REASON not in trial.user_attrs
    ]  # a reason means that the user stopped it
    curves = [trial for trial in complete if len(trial.intermediate_values) > 1]
    steps = early_steps(view, curves, pruned) if len(curves) >= LEAST else []
    statements = []
    silent = last_silent(steps) if len(pruned) <= MOST_PRUNED * len(curves) else None
    if curves:
        statements += _early_steps(steps, curves, len(pruned), silent)
    if view.spec.pruner.type not in _SAFETY_NETS:
        statements += _pruner(view, complete, pruned, silent)
    return statements


def early_steps(
    view: SweepView, complete: Sequence[FrozenTrial], pruned: Sequence[FrozenTrial]
) -> list[EarlyStep]:
    """The rank correlation of each early step with the end.

    The trials that were pruned have no end. Those that were not are more alike than all were, which makes the
    correlation smaller than that of all trials. It is corrected by how much more alike their values at the
    step are (Thorndike's case 2). A pruner that compares trials becomes stricter with time, and a sampler
    that learns becomes better, which would correlate the two: the effect of the order is removed.
    """
    complete = complete[:: 1 + len(complete) // _MOST_TRIALS]
    pruned = pruned[:: 1 + len(pruned) // _MOST_TRIALS]
    index = view.spec.goals.index(view.spec.pruning_metric)
    lasts = [max(trial.intermediate_values) for trial in complete]
    counts = Counter(
        step
        for trial, last in zip(complete, lasts, strict=True)
        for step in trial.intermediate_values
        if step < last
    )
    common = sorted(step for step, count in counts.items() if count >= max(LEAST, len(complete) / 2))
    ends = np.array([trial.values[index] for trial in complete])
    longest = np.array(lasts)
    found = []
    for step in common[:: 1 + len(common) // _MOST_STEPS]:
        values = np.array([trial.intermediate_values.get(step, math.nan) for trial in complete])
        values = np.where(step < longest, values, math.nan)
        others = np.array([trial.intermediate_values.get(step, math.nan) for trial in pruned])
        used = ~np.isnan(values)
        value = spearman(values[used], ends[used]) if used.sum() >= LEAST else None
        if value is not None and pruned:
            value = without_order(value, values[used], ends[used])
        if value is not None:
            ratio = _ratio(values[used], others[~np.isnan(others)])
            correlation = _unselected(interval(value, int(used.sum())), ratio)
            found.append(EarlyStep(step, correlation, values, ratio))
    return found


def _ratio(values: Floats, others: Floats) -> float:
    """By how much more the ranks of all values spread than those of `values`, at least 1."""
    everyone = ranks(np.concatenate([values, others]))
    spread = float(everyone[: len(values)].std())
    return max(1.0, float(everyone.std()) / spread) if spread > 0 else 1.0


def _unselected(correlation: Correlation, ratio: float) -> Correlation:
    """The correlation as it would be if the values spread more by this ratio."""

    def correct(value: float) -> float:
        return value * ratio / math.sqrt(1 - value**2 + (value * ratio) ** 2)

    value, low, high = (correct(number) for number in astuple(correlation)[:3])
    return Correlation(value, low, high, correlation.count)


def last_silent(steps: Sequence[EarlyStep]) -> EarlyStep | None:
    """The last step up to which the steps say little about the end, on average; None if there is none.

    The interval of the mean correlation is narrower than that of one step, unless the steps say the same.
    """
    last, total, count = None, np.zeros(0), np.zeros(0)
    for index, step in enumerate(steps, start=1):
        if _is_surely_positive(step.correlation) or step.correlation.value >= NOTHING:
            break
        used = ~np.isnan(step.values)
        place = ranks(step.values[used])
        score = np.zeros(len(used))
        score[used] = (place - place.mean()) / place.std()
        total = score if index == 1 else total + score
        count = used.astype(float) if index == 1 else count + used
        common = float(np.std(total[count > 0] / count[count > 0]))
        ratio = float(np.mean([other.ratio for other in steps[:index]]))
        value = float(np.mean([other.correlation.value for other in steps[:index]]))
        reach = Z * common * ratio / math.sqrt(step.correlation.count - 3)
        if value - reach < 0 and value + reach < NOTHING:
            mean = Correlation(value, max(-1.0, value - reach), value + reach, step.correlation.count)
            last = EarlyStep(step.step, mean, step.values, ratio)
    return last


def _is_surely_positive(correlation: Correlation) -> bool:
    """Whether the 99 % interval is above 0: of many steps, the 95 % interval of one often is."""
    return correlation.value - 1.31 * (correlation.value - correlation.low) > 0


def first_enough(steps: Sequence[EarlyStep]) -> EarlyStep | None:
    """The first step from which on the order of the trials is that of the end."""
    first = None
    for step in reversed(steps):
        if step.correlation.value < ENOUGH:
            break
        if step.correlation.low >= ENOUGH:
            first = step
    return first


def _early_steps(
    steps: Sequence[EarlyStep], curves: Sequence[FrozenTrial], pruned: int, silent: EarlyStep | None
) -> list[Statement]:
    """What early steps say about the end: the first ones can say nothing, and a later one be enough."""
    last = int(np.median([max(trial.intermediate_values) for trial in curves]))
    data: dict[str, Any] = {
        "verdict": "unclear",
        "complete": len(curves),
        "pruned": pruned,
        "last_step": last,
        "steps": [{"step": step.step, **asdict(step.correlation)} for step in steps],
    }
    evidence = f"over {text.plural(len(curves), 'complete trial')}; their last step is {last}"
    if pruned:
        evidence += f"; {pruned} pruned ones have no end, which the correlation is corrected for"
    if not steps:
        why = f"it takes {LEAST}" if len(curves) < LEAST else "they have no step in common that differs"
        sentence = f"Whether early steps predict the end cannot be told from {_trials(len(curves))}: {why}."
        return [Statement("health", "early_steps", sentence, "", data)]
    said = []
    if silent is not None:
        said.append(("nothing", silent, _says_little(steps[0].step, silent)))
    enough = first_enough(steps)
    if enough is not None and _position(enough.step, curves) <= 0.5:
        sentence = f"Step {enough.step} would have been enough to rank the trials: "
        said.append(("enough", enough, f"{sentence}rank correlation with the end {enough.correlation}."))
    if not said:
        middle = min(steps, key=lambda step: abs(_position(step.step, curves) - 0.25))
        is_clear = middle.correlation.low > 0 or middle.correlation.high < 0
        sentence = f"Step {middle.step} has a rank correlation of {middle.correlation} with the end."
        if not is_clear:
            sentence = f"Whether early steps predict the end cannot be told yet. {sentence}"
        said.append(("some" if is_clear else "unclear", middle, sentence))
    return [
        Statement("health", "early_steps", sentence, evidence, data | {"verdict": verdict, "step": step.step})
        for verdict, step, sentence in said
    ]


def _says_little(first: int, silent: EarlyStep) -> str:
    """That the steps from the first to another say little about the end."""
    one = silent.step == first
    subject = f"Step {first}" if one else f"Steps {first} to {silent.step}"
    what = f"{'says' if one else 'say'} little about the end"
    if silent.correlation.high < 0:
        what = f"{'ranks' if one else 'rank'} the trials the other way round than the end"
    return f"{subject} {what}: rank correlation {silent.correlation}."


def _position(step: int, curves: Sequence[FrozenTrial]) -> float:
    """Which share of its steps a trial has made at a step."""
    longest = max(curves, key=lambda trial: len(trial.intermediate_values)).intermediate_values
    return sum(other <= step for other in longest) / len(longest)


def _trials(count: int) -> str:
    return text.plural(count, "complete trial")


def _pruner(
    view: SweepView, complete: Sequence[FrozenTrial], pruned: Sequence[FrozenTrial], silent: EarlyStep | None
) -> list[Statement]:
    """Whether the pruner is idle or too eager."""
    kind, total = view.spec.pruner.type, len(complete) + len(pruned)
    data: dict[str, Any] = {"pruner": kind, "pruned": len(pruned), "complete": len(complete)}
    if not pruned:
        return [_idle(view, complete, data)] if len(complete) >= LEAST else []
    lasts = sorted(max(trial.intermediate_values, default=0) for trial in pruned)
    middle = lasts[len(lasts) // 2]
    data |= {"median_step": middle}
    sentence = f"The {kind} pruner stopped {len(pruned)} of {total} trials, half of them by step {middle}"
    if len(pruned) > MOST_PRUNED * len(complete):
        sentence += f"; the {len(complete)} others are too few to tell whether that is too early"
    if silent is None or middle > silent.step:
        return [Statement("health", "pruner", f"{sentence}.", "", data)]
    early = sum(last <= silent.step for last in lasts)
    option = _DELAYS.get(kind)
    advice = f"raise its {option} above {silent.step}, or use none" if option else "let it begin later"
    return [
        Statement(
            "health",
            "pruner_eager",
            f"The {kind} pruner is too eager: it stopped {early} of {total} trials by step {silent.step}, "
            f"where values say little about the end: {advice}.",
            f"rank correlation with the end {silent.correlation}, over {_trials(silent.correlation.count)}",
            data | {"early": early, "step": silent.step},
        )
    ]


def _idle(view: SweepView, complete: Sequence[FrozenTrial], data: dict[str, Any]) -> Statement:
    """Why the pruner has pruned nothing."""
    kind, startup = view.spec.pruner.type, getattr(view.spec.pruner, "startup_trials", 0)
    reporting = sum(bool(trial.intermediate_values) for trial in complete)
    if not reporting:
        why = "no trial reports intermediate values, with trial.report"
    elif startup >= len(complete):
        why = f"it waits until {startup} trials are complete (startup_trials)"
    elif max(len(trial.intermediate_values) for trial in complete) < 2:
        why = "trials report only once"
    else:
        why = "either it is lenient, or trials do not ask trial.should_prune"
    sentence = f"The {kind} pruner is idle: it has stopped none of {len(complete)} trials; {why}."
    return Statement("health", "pruner_idle", sentence, "", data | {"reporting": reporting})
