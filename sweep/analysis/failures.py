"""The most frequent reason for which trials of a sweep failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.analysis.view import TrialRow

_VARIABLE_PART = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[-+]?\d+)?")
"""Parts of a message that differ between trials with the same failure: addresses, numbers, sizes."""


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
        rows: all trials.
    """
    failed = [(_VARIABLE_PART.sub("#", row.reason or ""), row) for row in rows if row.state == "FAIL"]
    if not failed:
        return None
    pattern, count = Counter(pattern for pattern, _ in failed).most_common(1)[0]
    similar = [row for other, row in failed if other == pattern]
    share = "all" if count == len(failed) else f"{count} of them"
    relation = "with" if len({row.reason for row in similar}) == 1 else "with a message like"
    summary = f"{len(failed)} failed, {share} {relation}: {similar[0].reason or ''}"
    return FailureReason(summary, similar[0].number)
