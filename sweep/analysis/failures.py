"""The most frequent reason for which trials of a sweep failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import TrialState

from sweep.analysis.view import SweepView, TrialRow
from sweep.controller.common_failure import failure_patterns


@dataclass(frozen=True)
class FailureReason:
    """The most frequent reason for which trials failed.

    Args:
        summary: one line: how many trials failed, and the message of the first with this reason.
        trial: the number of that trial.
    """

    summary: str
    trial: int


def most_frequent_failure(rows: Sequence[TrialRow]) -> FailureReason | None:
    """The most frequent reason for which trials failed; None if none failed.

    Args:
        rows: trials, among them all that failed.
    """
    failures = [row for row in rows if row.state == "FAIL"]
    if not failures:
        return None
    patterns = failure_patterns([(row.reason or "", row.params) for row in failures])
    failed = list(zip(patterns, failures, strict=True))
    pattern, count = Counter(pattern for pattern, _ in failed).most_common(1)[0]
    similar = [row for other, row in failed if other == pattern]
    share = "all" if count == len(failed) else f"{count} of them"
    relation = "with" if len({row.reason for row in similar}) == 1 else "with a message like"
    summary = f"{len(failed)} failed, {share} {relation}: {similar[0].reason or ''}"
    return FailureReason(summary, similar[0].number)


def explain_no_best(view: SweepView) -> str:
    """Why a sweep has no best trial, in one line."""
    reason = None if view.counts["complete"] else most_frequent_failure(view.rows(TrialState.FAIL))
    why = f"; {reason.summary}" if reason is not None else ""
    return f"{view.spec.name}: {view.why_no_best}{why}"
