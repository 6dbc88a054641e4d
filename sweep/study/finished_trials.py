"""`FinishedTrials`: the trials that have finished since the last look, without a walk through all."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial


class FinishedTrials:
    """Returns each finished trial of a study once.

    It looks only at trials that are new or were unfinished the last time. So whatever is computed from the
    trials that it returns costs the same for the first trial of a sweep as for the last.
    """

    def __init__(self) -> None:
        self._seen = 0
        """How many trials of the study existed the last time."""
        self._unfinished: list[int] = []
        """The numbers of those that had not finished."""

    def new(self, study: optuna.Study) -> list[FrozenTrial]:
        """The trials that have finished since the last call, ordered by number. Do not change them.

        Args:
            study: the study; the same one, or another view of it, in each call.
        """
        trials = study.get_trials(deepcopy=False)
        candidates = [*self._unfinished, *range(self._seen, len(trials))]
        self._seen = len(trials)
        self._unfinished = [number for number in candidates if not trials[number].state.is_finished()]
        return [trials[number] for number in candidates if trials[number].state.is_finished()]
