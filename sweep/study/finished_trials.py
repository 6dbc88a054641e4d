"""`FinishedTrials`: the trials of a study that have finished since the last call, without a walk."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial


class FinishedTrials:
    """Returns each finished trial of a study once.

    It looks only at trials that are new or were unfinished the last time. So whatever is computed from the
    trials that it returns costs the same for the first trial of a sweep as for the last.

    Attributes:
        unfinished: the trials that had not finished at the last call, ordered by number, as they were then.
    """

    def __init__(self) -> None:
        self._seen = 0
        """How many trials of the study existed the last time."""
        self.unfinished: list[FrozenTrial] = []

    def new(self, study: optuna.Study) -> list[FrozenTrial]:
        """The trials that have finished since the last call, ordered by number. Do not change them.

        Args:
            study: the study; the same one, or another view of it, in each call.
        """
        trials = study.get_trials(deepcopy=False)
        candidates = [*(trials[trial.number] for trial in self.unfinished), *trials[self._seen :]]
        self._seen = len(trials)
        finished: list[FrozenTrial] = []
        self.unfinished = []
        for trial in candidates:
            (finished if trial.state.is_finished() else self.unfinished).append(trial)
        return finished
