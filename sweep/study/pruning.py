"""`Pruning`: stores reports and asks the pruner, for studies with one or several objectives."""

from __future__ import annotations

from collections.abc import Container
from copy import copy
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.private import read_trial, storage_of, store_report


class Pruning:
    """Stores the reports of a study's trials and asks its pruner about them.

    With one objective, `optuna.Trial` does that. With several, Optuna's trials neither accept reports nor
    ask pruners (optuna#3450), and pruners require a study with one direction. So here the pruner sees the
    study through a storage in which it has one objective: the one that trials report.

    Args:
        study: the study; its pruner is set.
        pruner: the pruner.
        objective: the index, among the study's objectives, of the metric that trials report.
    """

    def __init__(self, study: optuna.Study, pruner: BasePruner, objective: int = 0) -> None:
        self._study = study
        self._view: optuna.Study | None = None
        study.pruner = pruner
        if len(study.directions) > 1:
            storage: Any = _SingleObjectiveStorage(storage_of(study), objective)
            self._view = optuna.Study(study_name=study.study_name, storage=storage, pruner=pruner)
            study.pruner = NopPruner()  # samplers would look for Hyperband's brackets in the study itself

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Store an intermediate value. A step that was reported before keeps its first value."""
        if self._view is None:
            trial.report(value, step)
            return
        store_report(self._study, trial, step, value)

    def should_prune(self, trial: optuna.Trial) -> bool:
        """Whether the pruner would stop the trial."""
        if self._view is None:
            return trial.should_prune()
        return self._view.pruner.prune(self._view, read_trial(self._study, trial))


class _SingleObjectiveStorage:
    """A storage in which a study with several objectives has only one of them."""

    def __init__(self, storage: BaseStorage, objective: int) -> None:
        self._storage = storage
        self._objective = objective
        self._complete: dict[int, FrozenTrial] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    get_best_trial = BaseStorage.get_best_trial  # from the trials and the direction below

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [self._storage.get_study_directions(study_id)[self._objective]]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._storage.get_all_trials(study_id, deepcopy, states)
        return [self._with_one_value(trial) for trial in trials]

    def _with_one_value(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.state != TrialState.COMPLETE:
            return trial
        if trial.number not in self._complete:  # it no longer changes
            reduced = self._complete[trial.number] = copy(trial)
            reduced.values = [trial.values[self._objective]]
        return self._complete[trial.number]
