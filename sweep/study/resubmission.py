"""Resubmission: failed trials run again on the user's request, as new trials with the same parameters."""

from __future__ import annotations

from collections.abc import Iterable

import optuna
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


def enqueue_resubmissions(study: optuna.Study, numbers: Iterable[int]) -> list[int]:
    """Enqueue a new trial with the same parameters for each of these trials that has failed.

    Returns:
        the failed trials that were resubmitted.
    """
    trials = study.get_trials(deepcopy=False)
    failed = set(failed_trials(trials))
    chosen = [number for number in dict.fromkeys(numbers) if number in failed]
    for number in chosen:
        trial = trials[number]
        # A trial that failed early has not asked for all parameters that were enqueued with it.
        params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        study.enqueue_trial(params, user_attrs={RESUBMISSION_OF: number})
    return chosen
