"""`FinishedTrials`: the trials of a study that have finished since the last call, without a walk."""

from __future__ import annotations

from collections import deque
from operator import attrgetter

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.study.private import look_at_trials


class FinishedTrials:
    """Returns each finished trial of a study once.

    It looks only at trials that are new or were running the last time. So whatever is computed from the
    trials that it returns costs the same for the first trial of a sweep as for the last. Optuna starts
    enqueued trials in the order of their numbers, so of those that wait only the first is looked at.

    Attributes:
        changed: the trials that the last call looked at, ordered by number. No others have changed.
        unfinished: those of them that have not finished: the running ones and the first that waits.
    """

    def __init__(self) -> None:
        self._seen = 0
        """How many trials of the study existed the last time."""
        self._waiting: deque[int] = deque()
        """The numbers of the trials that wait."""
        self.changed: list[FrozenTrial] = []
        self.unfinished: list[FrozenTrial] = []

    def new(self, study: optuna.Study) -> list[FrozenTrial]:
        """The trials that have finished since the last call, ordered by number. Do not change them.

        Args:
            study: the study; the same one, or another view of it, in each call. A trial that is being sampled
                ahead is in the sampler's view only.
        """
        trials = look_at_trials(study)
        known = [trial for trial in self.unfinished if trial.number < len(trials)]
        changed = {trial.number: trials[trial.number] for trial in known}
        for trial in known:
            if trial.state == TrialState.RUNNING and trials[trial.number].state == TrialState.WAITING:
                self._waiting.appendleft(trial.number)  # it runs in the earlier view only
        for trial in trials[self._seen :]:
            changed[trial.number] = trial
            if trial.state == TrialState.WAITING:
                self._waiting.append(trial.number)
        self._seen = len(trials)
        while self._waiting and trials[self._waiting[0]].state != TrialState.WAITING:
            started = trials[self._waiting.popleft()]
            changed[started.number] = started
        first = self._waiting[0] if self._waiting else None
        if first is not None:
            changed[first] = trials[first]
        self.changed = sorted(changed.values(), key=attrgetter("number"))
        self.unfinished = [
            trial for trial in self.changed if trial.state == TrialState.RUNNING or trial.number == first
        ]
        return [trial for trial in self.changed if trial.state.is_finished()]
