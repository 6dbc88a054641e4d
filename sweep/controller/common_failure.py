"""Detects a failure that the first trials have in common, which would use up the whole sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweep.messages import CommonFailure
from sweep.study import attributes

SAMPLE = 5
"""How many trials have to fail for the same reason, before any trial has a result."""

_VARIABLE_PARTS = (
    (re.compile(r"(unrecognized arguments|no such option):.*", re.IGNORECASE), r"\1"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "#"),
    (re.compile(r"(?<![\w.])~?/[^\s,;:()\[\]]+"), "#"),  # paths
    (re.compile(r"0x[0-9a-f]+|\b(?=[a-f]*\d)[0-9a-f]{6,}\b", re.IGNORECASE), "#"),
    (
        re.compile(
            r"(?<!exit status )[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?(?: ?[kmgt]i?b\b)?|\b(?:nan|inf)\b",
            re.IGNORECASE,
        ),
        "#",
    ),
    (re.compile(r"#(?:[\s,x:/=*-]*#)+"), "#"),  # shapes and lists of any length
)
"""What differs between messages of the same failure, and what replaces it: the arguments that a program
rejects, quoted strings, paths, addresses, numbers and sizes."""


def failure_pattern(reason: str, params: Mapping[str, Any]) -> str:
    """What a reason has in common with the reasons of other trials that failed in the same way.

    Args:
        reason: why a trial failed.
        params: the trial's parameters, whose values the reason can contain.
    """
    for value in params.values():
        if isinstance(value, str) and value:
            reason = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "#", reason)
    for pattern, replacement in _VARIABLE_PARTS:
        reason = pattern.sub(replacement, reason)
    return reason


class FirstTrials:
    """The first trials that end in this run of a sweep.

    Only this run counts: after a common failure, the user corrects its cause and resumes the sweep.
    """

    def __init__(self) -> None:
        self._trials: list[FrozenTrial] = []

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial that has just ended."""
        if len(self._trials) < SAMPLE:
            self._trials.append(trial)

    @property
    def common_failure(self) -> CommonFailure | None:
        """The failure of all of them; None if they are too few or differ."""
        if len(self._trials) < SAMPLE or any(trial.state != TrialState.FAIL for trial in self._trials):
            return None
        reasons = [trial.user_attrs.get(attributes.REASON, "") for trial in self._trials]
        patterns = {
            failure_pattern(reason, trial.params) for reason, trial in zip(reasons, self._trials, strict=True)
        }
        return CommonFailure(reasons[0], self._trials[0].number) if len(patterns) == 1 else None

    @property
    def have_reported(self) -> bool:
        """Whether any of them has reported a value before it ended."""
        return any(trial.intermediate_values for trial in self._trials)
