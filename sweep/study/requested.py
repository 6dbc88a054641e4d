"""`RequestedTrials`: trials that users enqueue while a sweep exists, and those of earlier requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.study.attributes import RESUBMISSION_OF, TOKEN


class RequestedTrials:
    """Enqueues trials in a study at the request of users.

    A request that is repeated has no second effect. The trials of earlier requests are found without a walk:
    a trial has the attributes that tell them from the start, so each trial is looked at once.

    Args:
        study: the sweep's study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._seen = 0
        """How many trials of the study have been looked at."""
        self._by_token: Counter[str] = Counter()
        """How many trials each request has enqueued."""
        self._resubmitted: set[int] = set()
        """The failed trials that have been resubmitted."""

    def enqueue(self, points: Iterable[Mapping[str, Any]], token: str) -> int:
        """Enqueue configurations; returns how many.

        Args:
            points: the configurations, as Optuna would have sampled them.
            token: the id of the request. A second request with the same id has no effect.
        """
        self._look()
        points = list(points)[self._by_token[token] :]
        for point in points:
            self._study.enqueue_trial(dict(point), user_attrs={TOKEN: token})
        return len(points)

    def resubmit(self, numbers: Iterable[int]) -> list[int]:
        """Enqueue a new trial with the same parameters for each of these trials that has failed.

        Returns:
            the failed trials that were resubmitted. Others were resubmitted before, or have not failed.
        """
        trials = self._look()
        chosen = [
            number
            for number in dict.fromkeys(numbers)
            if 0 <= number < len(trials)
            and trials[number].state == TrialState.FAIL
            and number not in self._resubmitted
        ]
        for number in chosen:
            trial = trials[number]
            # A trial that failed early has not asked for all parameters that were enqueued with it.
            params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            self._study.enqueue_trial(params, user_attrs={RESUBMISSION_OF: number})
        return chosen

    def _look(self) -> list[FrozenTrial]:
        """Look at the trials that are new; returns all trials."""
        trials = self._study.get_trials(deepcopy=False)
        for trial in trials[self._seen :]:
            if TOKEN in trial.user_attrs:
                self._by_token[trial.user_attrs[TOKEN]] += 1
            if RESUBMISSION_OF in trial.user_attrs:
                self._resubmitted.add(trial.user_attrs[RESUBMISSION_OF])
        self._seen = len(trials)
        return trials
