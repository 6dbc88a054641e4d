"""Why trials failed, counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.analysis.view import TrialRow

_CHANGES = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[-+]?\d+)?")
"""What differs from trial to trial although the reason is the same: addresses, numbers, sizes."""


@dataclass(frozen=True)
class Reason:
    """Why most of the trials that failed did so.

    Args:
        text: as the first of them has it.
        first: the number of that one.
        is_same: whether all of them have it word for word.
        times: how many failed so.
        failed: how many failed at all.
    """

    text: str
    first: int
    is_same: bool
    times: int
    failed: int

    def __str__(self) -> str:
        share = "all" if self.times == self.failed else f"{self.times} of them"
        return f"{self.failed} failed, {share} {'with' if self.is_same else 'like'}: {self.text}"


def most_frequent(rows: Sequence[TrialRow]) -> Reason | None:
    """The reason for which most trials failed; None if none did.

    Args:
        rows: all trials.
    """
    failed = [row for row in rows if row.state == "FAIL"]
    if not failed:
        return None
    kinds = [_CHANGES.sub("#", row.reason or "") for row in failed]
    kind = Counter(kinds).most_common(1)[0][0]
    alike = [row for row, own in zip(failed, kinds, strict=True) if own == kind]
    texts = {row.reason for row in alike}
    return Reason(alike[0].reason or "", alike[0].number, len(texts) == 1, len(alike), len(failed))
