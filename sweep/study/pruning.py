"""`Pruning`: stores reports and asks the pruner, for studies with one or several objectives."""

from __future__ import annotations

import copy as copying
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.finished_trials import FinishedTrials
from sweep.study.private import read_trial, storage_of, store_report


class Pruning:
    """Stores the reports of a study's trials and asks its pruner about them.

    With one objective, `optuna.Trial` does that. With several, Optuna's trials neither accept reports nor
    ask pruners (optuna#3450), and pruners require a study with one direction. So here the pruner sees the
    study through a storage in which it has one objective: the one that trials report. Through such a storage
    a pruner also sees the number of a report instead of its step.

    Args:
        study: the study; its pruner is set.
        pruner: the pruner.
        objective: the index, among the study's objectives, of the metric that trials report.
        counted: whether the pruner sees the reports of a trial as steps 0, 1, 2 and so on.
    """

    def __init__(
        self, study: optuna.Study, pruner: BasePruner, objective: int = 0, counted: bool = False
    ) -> None:
        self._study = study
        self._storage: _PrunerStorage | None = None
        study.pruner = pruner
        if len(study.directions) > 1 or counted:
            self._storage = _PrunerStorage(study, objective, counted)
            storage: Any = self._storage
            self._view = optuna.Study(study_name=study.study_name, storage=storage, pruner=pruner)
        if len(study.directions) > 1:
            study.pruner = NopPruner()  # samplers would look for Hyperband's brackets in the study itself

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Store an intermediate value. A step that was reported before keeps its first value."""
        if len(self._study.directions) == 1:
            trial.report(value, step)
            return
        store_report(self._study, trial, step, value)

    def should_prune(self, trial: optuna.Trial) -> bool:
        """Whether the pruner would stop the trial."""
        if self._storage is None:
            return trial.should_prune()
        return self._view.pruner.prune(self._view, self._storage.reduced(read_trial(self._study, trial)))


@dataclass(eq=False)
class _PrunerStorage:
    """The storage of a study as its pruner sees it: with one objective, and with its kind of steps."""

    study: optuna.Study
    objective: int
    counted: bool
    _finished: FinishedTrials = field(default_factory=FinishedTrials)
    _trials: list[FrozenTrial] = field(default_factory=list)
    """All trials, reduced. Finished ones no longer change."""

    def __getattr__(self, name: str) -> Any:
        return getattr(storage_of(self.study), name)

    get_best_trial = BaseStorage.get_best_trial  # from the trials and the direction below

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [self.study.directions[self.objective]]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        self._finished.new(self.study)
        for trial in self._finished.changed:
            self._trials[trial.number : trial.number + 1] = [self.reduced(trial)]
        trials = [t for t in self._trials if t.state in states] if states is not None else [*self._trials]
        return copying.deepcopy(trials) if deepcopy else trials

    def reduced(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with one value, and its reports at the pruner's steps."""
        seen = copying.copy(trial)
        if self.counted:
            reports = trial.intermediate_values
            seen.intermediate_values = dict(enumerate(reports[step] for step in sorted(reports)))
        if trial.state == TrialState.COMPLETE:
            seen.values = [trial.values[self.objective]]
        return seen
