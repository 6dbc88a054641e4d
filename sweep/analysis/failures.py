"""The reasons for which trials of a sweep failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from optuna.trial import TrialState

from sweep.analysis.view import SweepView, TrialRow
from sweep.controller.common_failure import failure_patterns

_NUMBER = re.compile(r"(?<!exit status )(?<!\d)\d+")

Failure = tuple[int, str, Mapping[str, Any]]
"""The number of a trial that failed, the reason, and its parameters."""


@dataclass(frozen=True)
class FailureGroup:
    """Failures whose reasons have the same pattern.

    Args:
        reason: the reason of the first; empty if none is recorded.
        is_exact: whether all have this reason; otherwise theirs differ in values.
        trials: the numbers of the trials, in ascending order.
    """

    reason: str
    is_exact: bool
    trials: tuple[int, ...]


def failure_groups(failures: Sequence[Failure]) -> list[FailureGroup]:
    """Failures by what their reasons have in common, the most frequent first."""
    by_number: dict[str, list[Failure]] = {}
    for failure in failures:  # most differ in numbers only, and the patterns take 0.1 s for a thousand
        by_number.setdefault(_NUMBER.sub("0", failure[1]), []).append(failure)
    texts = {value for _, _, params in failures for value in params.values() if isinstance(value, str)}
    reasons: list[tuple[str, Mapping[str, Any]]] = [(group[0][1], {}) for group in by_number.values()]
    patterns = failure_patterns([*reasons, ("", {text: text for text in texts})])[:-1]
    merged: dict[str, list[Failure]] = {}
    for pattern, group in zip(patterns, by_number.values(), strict=True):
        merged.setdefault(pattern, []).extend(group)
    found = []
    for group in merged.values():
        group.sort(key=itemgetter(0))
        is_exact = len({reason for _, reason, _ in group}) == 1
        numbers = tuple(number for number, _, _ in group)
        found.append(FailureGroup(group[0][1], is_exact, numbers))
    return sorted(found, key=lambda group: (-len(group.trials), group.trials[0]))


def failures_by_reason(rows: Iterable[TrialRow]) -> list[FailureGroup]:
    """The reasons for which some of these trials failed, the most frequent first."""
    return failure_groups([(row.number, row.reason or "", row.params) for row in rows if row.state == "FAIL"])


@dataclass(frozen=True)
class FailureReason:
    """The most frequent reason for which trials failed.

    Args:
        summary: one line: how many trials failed, and the message of the first with this reason.
        trial: the number of that trial.
    """

    summary: str
    trial: int


def most_frequent_failure(rows: Iterable[TrialRow]) -> FailureReason | None:
    """The most frequent reason for which trials failed; None if none failed.

    Args:
        rows: trials, among them all that failed.
    """
    groups = failures_by_reason(rows)
    if not groups:
        return None
    first, failed = groups[0], sum(len(group.trials) for group in groups)
    share = "all" if len(groups) == 1 else f"{len(first.trials)} of them"
    relation = "with" if first.is_exact else "with a message like"
    return FailureReason(f"{failed} failed, {share} {relation}: {first.reason}", first.trials[0])


def explain_no_best(view: SweepView) -> str:
    """Why a sweep has no best trial, in one line."""
    reason = None if view.counts["complete"] else most_frequent_failure(view.rows(TrialState.FAIL))
    why = f"; {reason.summary}" if reason is not None else ""
    return f"{view.spec.name}: {view.why_no_best}{why}"
