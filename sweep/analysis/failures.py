"""The most frequent reason for which trials of a sweep failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.analysis.view import TrialRow

_VARIABLE_PART = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[-+]?\d+)?")
"""Parts in which the messages of the same failure differ between trials: addresses, numbers, sizes."""


@dataclass(frozen=True)
class FailureReason:
    """The most frequent reason for which trials failed.

    Args:
        text: the message of the first of these trials.
        trial: the number of that trial.
        is_identical: whether all of them have the identical message, numbers included.
        count: how many trials failed for this reason.
        failed: how many trials failed in all.
    """

    text: str
    trial: int
    is_identical: bool
    count: int
    failed: int

    def __str__(self) -> str:
        share = "all" if self.count == self.failed else f"{self.count} of them"
        relation = "with" if self.is_identical else "with a message like"
        return f"{self.failed} failed, {share} {relation}: {self.text}"


def most_frequent_failure(rows: Sequence[TrialRow]) -> FailureReason | None:
    """The most frequent reason for which trials failed; None if none failed.

    Args:
        rows: all trials.
    """
    failed = [row for row in rows if row.state == "FAIL"]
    if not failed:
        return None
    patterns = [_VARIABLE_PART.sub("#", row.reason or "") for row in failed]
    pattern = Counter(patterns).most_common(1)[0][0]
    similar = [row for row, other in zip(failed, patterns, strict=True) if other == pattern]
    texts = {row.reason for row in similar}
    return FailureReason(
        similar[0].reason or "", similar[0].number, len(texts) == 1, len(similar), len(failed)
    )
