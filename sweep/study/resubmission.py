"""Resubmission: failed trials run again on the user's request, as new trials with the same parameters."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from sweep.study.attributes import RESUBMISSION_OF


def failed_trials(trials: Iterable[FrozenTrial]) -> list[int]:
    """The numbers of the trials that failed and have not been resubmitted."""
    trials = list(trials)
    resubmitted = {trial.user_attrs.get(RESUBMISSION_OF) for trial in trials}
    return [
        trial.number for trial in trials if trial.state == TrialState.FAIL and trial.number not in resubmitted
    ]


def is_resubmission(trial: FrozenTrial) -> bool:
    """Whether a trial is the resubmission of a failed one."""
    return RESUBMISSION_OF in trial.user_attrs


def count_resubmissions(trials: Iterable[FrozenTrial]) -> int:
    """The number of resubmissions. They do not count for the stop rules."""
    return sum(map(is_resubmission, trials))
