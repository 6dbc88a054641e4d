"""Detects a failure that the first trials have in common, which would use up the whole sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
            r"(exit status \d+)|[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?(?: ?[kmgt]i?b\b)?"
            r"|\b(?:nan|inf|true|false|none)\b",
            re.IGNORECASE,
        ),
        r"\1#",
    ),
    (re.compile(r"#(?:[\s,x:/=*-]*#)+"), "#"),  # shapes and lists of any length
)
"""What differs between messages of the same failure, and what replaces it: the arguments that a program
rejects, quoted strings, paths, addresses, numbers and sizes."""


def failure_patterns(failures: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What each reason has in common with the reasons of other trials that failed in the same way.

    Args:
        failures: the reason and the parameters of each trial. A reason can contain values of parameters. The
            values of all trials are removed from all reasons, because a value can also be an ordinary word.
    """
    texts = {value for _, params in failures for value in params.values() if isinstance(value, str)}
    values = "|".join(map(re.escape, sorted(filter(None, texts), key=len, reverse=True)))
    value = re.compile(rf"(?<!\w)(?:{values})(?!\w)") if values else None
    patterns = []
    for reason, _ in failures:
        pattern = reason if value is None else value.sub("#", reason)
        for variable, replacement in _VARIABLE_PARTS:
            pattern = variable.sub(replacement, pattern)
        patterns.append(pattern)
    return patterns


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
        failures = [(trial.user_attrs.get(attributes.REASON, ""), trial.params) for trial in self._trials]
        if len(set(failure_patterns(failures))) > 1:
            return None
        return CommonFailure(failures[0][0], self._trials[0].number)

    @property
    def have_reported(self) -> bool:
        """Whether any of them has reported a value before it ended."""
        return any(trial.intermediate_values for trial in self._trials)
