"""Failed trials that are run again by hand: as new trials with their parameters, linked to the old ones."""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.study.study import RESUBMISSION_OF


def failed_trials(trials: Iterable[FrozenTrial]) -> list[int]:
    """The numbers of the trials that failed and have not been given another one yet."""
    trials = list(trials)
    repeated = {trial.user_attrs.get(RESUBMISSION_OF) for trial in trials}
    return [
        trial.number for trial in trials if trial.state == TrialState.FAIL and trial.number not in repeated
    ]


def is_resubmission(trial: FrozenTrial) -> bool:
    """Whether a trial repeats another one."""
    return RESUBMISSION_OF in trial.user_attrs


def count_resubmissions(trials: Iterable[FrozenTrial]) -> int:
    """How many trials repeat another one. So many more trials than the stop rule says belong to the sweep."""
    return sum(map(is_resubmission, trials))


def enqueue_resubmissions(study: optuna.Study, numbers: Iterable[int]) -> list[int]:
    """Enqueue a new trial for each of these that is a `failed_trial`; samplers leave its parameters alone.

    Returns:
        the failed trials for which there is a new one now.
    """
    trials = study.get_trials(deepcopy=False)
    failed = set(failed_trials(trials))
    chosen = [number for number in dict.fromkeys(numbers) if number in failed]
    for number in chosen:
        study.enqueue_trial(trials[number].params, user_attrs={RESUBMISSION_OF: number})
    return chosen
