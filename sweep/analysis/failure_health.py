"""`failure_statements`: which trials failed, why, and in which region of the search space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from sweep.analysis import formatting as text_of
from sweep.analysis.failure_regions import LEAST, Region, columns_of, find_regions
from sweep.analysis.failures import FailureGroup, failure_groups
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView
from sweep.study import attributes

CHANCE = 0.05
"""The probability that any region is found although failures do not depend on the parameters."""
_MOSTLY = 0.5
"""The share of failed trials from which on a region is to be left out."""
_REASONS = 3
"""For how many of the most frequent reasons a region is looked for."""
_NOT_ADAPTIVE = ("random", "grid", "brute_force", "qmc")
"""Samplers whose configurations do not depend on results."""


def failure_statements(view: SweepView) -> list[Statement]:
    """How many trials failed and why, and in which regions of the search space they fail."""
    resubmitted = {trial.user_attrs.get(attributes.RESUBMISSION_OF) for trial in view.frozen_trials}
    trials = [
        trial for trial in view.frozen_trials if trial.state.is_finished() and trial.number not in resubmitted
    ]
    failures = [trial for trial in trials if trial.state == TrialState.FAIL]
    if not failures:
        return []
    found = [(one.number, one.user_attrs.get(attributes.REASON, ""), view.params(one)) for one in failures]
    reasons = [
        replace(group, reason=" ".join(group.reason.split()) or "no reason is recorded")
        for group in failure_groups(found)
    ]
    statements = [_summary(failures, len(trials), reasons)]
    if len(failures) < len(trials):
        statements += _region_statements(view, trials, reasons)
    return statements


@lru_cache(maxsize=2)
def failing_ends(view: SweepView) -> frozenset[tuple[str, str]]:
    """The ends of ranges in which trials fail: each parameter and `lower` or `upper`."""
    return frozenset(
        (said.data["name"], "upper" if said.data["relation"] in (">", ">=") else "lower")
        for said in failure_statements(view)
        if said.key == "failing_range"
    )


def _summary(failures: Sequence[FrozenTrial], finished: int, reasons: Sequence[FailureGroup]) -> Statement:
    """How many trials failed, and the most frequent reasons."""
    count, top = len(failures), reasons[0]
    subject = (
        f"All {count} trials" if count == finished > 1 else f"{count} of {text_of.plural(finished, 'trial')}"
    )
    if count == finished == 1:
        subject = "The only trial"
    text = f"{subject} failed: {_short(top.reason)}"
    if len(reasons) > 1:
        parts = [f"{len(group.trials)} with {_short(group.reason)}" for group in reasons[:2]]
        rest = count - sum(len(group.trials) for group in reasons[:2])
        text = f"{subject} failed: {'; '.join(parts)}" + (f"; {rest} for other reasons" if rest else "")
    return Statement(
        "health",
        "failures",
        text.rstrip(".") + ".",
        f"trial {top.trials[0]} is the first with the most frequent reason",
        {
            "failed": count,
            "finished": finished,
            "reasons": [
                {"reason": group.reason, "count": len(group.trials), "trial": group.trials[0]}
                for group in reasons[:20]
            ],
        },
    )


def _region_statements(
    view: SweepView, trials: Sequence[FrozenTrial], reasons: Sequence[FailureGroup]
) -> Iterator[Statement]:
    """The regions in which trials fail for any reason, then those in which they fail for one reason."""
    columns = columns_of([view.params(trial) for trial in trials])
    is_adaptive = view.spec.sampler.type not in _NOT_ADAPTIVE
    numbers = np.array([trial.number for trial in trials])
    failed = np.array([trial.state == TrialState.FAIL for trial in trials])
    frequent = [group for group in reasons[:_REASONS] if LEAST <= len(group.trials) < failed.sum()]
    chance = CHANCE / (1 + len(frequent))
    known = set()
    for region in find_regions(columns, failed, np.ones_like(failed), chance, is_adaptive):
        known.add(region.name)
        members = set(numbers[region.members & failed].tolist())
        cause = max(reasons, key=lambda group: len(members.intersection(group.trials)))
        yield _region_statement(region, cause, is_only=members.issubset(cause.trials))
    for group in frequent:
        has_reason = np.isin(numbers, group.trials)
        for region in find_regions(columns, has_reason, has_reason | ~failed, chance, is_adaptive):
            if region.name not in known:
                known.add(region.name)
                yield _region_statement(region, group, is_only=True)
    if not known:
        yield _no_region(len(failed), int(failed.sum()), len(columns))


def _region_statement(region: Region, group: FailureGroup, is_only: bool) -> Statement:
    where = condition(region.name, region.relation, region.value)
    others = f"{region.failed_elsewhere} of the {region.trials_elsewhere} others"
    is_choice = region.relation == "="
    advice = "leave it out" if is_choice else f"bound {text_of.printable(region.name)} there"
    if region.failed == region.trials:
        every = "Both" if region.trials == 2 else f"All {region.trials}"
        text = f"{every} trials with {where} failed, and {others}: {advice}"
    elif region.share >= _MOSTLY:
        text = f"{region.failed} of {region.trials} trials with {where} failed, and {others}: {advice}"
    else:
        text = f"Trials with {where} fail more often: {region.failed} of {region.trials}, and {others}"
    share = "their reason is" if is_only else "their most frequent reason is"
    return Statement(
        "health",
        "failing_choice" if is_choice else "failing_range",
        text + ".",
        "Fisher's exact test, corrected for all choices and thresholds that were compared: "
        f"p {'< 1e-99' if region.p < 1e-99 else f'= {region.p:.1g}'}; {share} {_short(group.reason)}",
        {
            "name": region.name,
            "relation": region.relation,
            "value": region.value,
            "failed": region.failed,
            "trials": region.trials,
            "share": region.share,
            "failed_elsewhere": region.failed_elsewhere,
            "trials_elsewhere": region.trials_elsewhere,
            "p": region.p,
            "reason": group.reason,
            "trial": group.trials[0],
        },
    )


def _no_region(trials: int, failed: int, parameters: int) -> Statement:
    """That no region was found, or that the failures are too few to find one."""
    tried = 2 * trials * max(1, parameters)
    data = {"failed": failed, "trials": trials}
    if math.comb(trials, failed) < tried / CHANCE:  # an int of thousands of digits does not fit a float
        text = f"Whether failures depend on the parameters cannot be told from {failed} of {trials} trials."
        return Statement("health", "failures_unclear", text, "", data)
    text = "No choice or range of a parameter is known in which trials fail more often than elsewhere."
    evidence = "each choice and each threshold was compared with the rest by Fisher's exact test"
    return Statement("health", "failures_without_region", text, evidence, data)


def condition(name: str, relation: str, value: Any) -> str:
    """A condition on a parameter as text: optimizer=lion, lr > 0.03."""
    name, shown = text_of.printable(name), _short(str(value), 40)
    return f"{name}={shown}" if relation == "=" else f"{name} {relation} {shown}"


def _short(text: str, length: int = 80) -> str:
    """A text on one line that is not too long for a sentence."""
    line = text_of.printable(text)
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
