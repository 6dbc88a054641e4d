"""The most frequent reason for which trials failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.analysis.failures import FailureGroup, failures_by_reason, most_frequent_failure
from sweep.analysis.view import TrialRow


def row(number: int, reason: str | None, state: str = "FAIL") -> TrialRow:
    return TrialRow(number, state, None, {}, {}, 1, reason, None, None, None, Path())


@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        (["it broke"], "1 failed, all with: it broke"),
        (["it broke", "it is late", "it broke"], "3 failed, 2 of them with: it broke"),
        (
            ["no", "what it returned is <X at 0x7f01>", "what it returned is <X at 0x7fab>"],
            "3 failed, 2 of them with a message like: what it returned is <X at 0x7f01>",
        ),
        (["loss is 1.5e-07", "loss is 22.0"], "2 failed, all with a message like: loss is 1.5e-07"),
        ([None, None], "2 failed, all with: "),
    ],
)
def test_reasons_that_differ_only_in_numbers_or_addresses_are_counted_as_one(
    reasons: list[str | None], text: str
) -> None:
    found = most_frequent_failure([row(number, reason) for number, reason in enumerate(reasons)])
    assert found is not None
    assert found.summary == text


def test_only_failed_trials_are_counted() -> None:
    assert most_frequent_failure([row(0, "pruned", "PRUNED")]) is None
    found = most_frequent_failure([row(0, "pruned", "PRUNED"), row(1, "it broke")])
    assert found is not None
    assert found.trial == 1
    assert found.summary == "1 failed, all with: it broke"


def test_failures_are_grouped_by_their_reason_the_most_frequent_first() -> None:
    reasons = ["exit status 2", "loss is 7", "exit status 11", "exit status 12", "loss is 9", "no file", None]
    rows = [row(number, reason) for number, reason in enumerate(reasons)]
    assert failures_by_reason([row(7, "pruned", "PRUNED"), *reversed(rows)]) == [
        FailureGroup("loss is 7", False, (1, 4)),
        FailureGroup("exit status 2", True, (0,)),
        FailureGroup("exit status 11", True, (2,)),
        FailureGroup("exit status 12", True, (3,)),
        FailureGroup("no file", True, (5,)),
        FailureGroup("", True, (6,)),
    ]
