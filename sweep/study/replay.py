"""`IndexedReplay`: the trials of a journal in memory, found by state without a walk through all of them."""

from __future__ import annotations

import copy
import sys
from bisect import bisect_left
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility, json_to_distribution
from optuna.storages.journal._storage import JournalStorageReplayResult
from optuna.trial import FrozenTrial, TrialState

_State = frozenset[TrialState]


class _Selection:
    """The trials of a study that have one of some states, ordered by number."""

    def __init__(self, states: _State, trials: list[FrozenTrial]) -> None:
        self._states = states
        self._trials = [trial for trial in trials if trial.state in states]
        self._numbers = [trial.number for trial in self._trials]
        self.changed: set[int] = set()
        """The numbers of the trials that have changed since `update`."""

    def update(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Select from `trials` again, of which only those that have changed are looked at."""
        for number in self.changed:
            position = bisect_left(self._numbers, number)
            is_present = self._numbers[position : position + 1] == [number]
            if trials[number].state not in self._states:
                if is_present:
                    del self._numbers[position], self._trials[position]
            elif is_present:
                self._trials[position] = trials[number]
            else:
                self._numbers.insert(position, number)
                self._trials.insert(position, trials[number])
        self.changed.clear()
        return list(self._trials)


class _StudyTrials:
    """The trials of one study."""

    def __init__(self) -> None:
        self.trials: list[FrozenTrial] = []
        self.distributions: dict[str, BaseDistribution] = {}
        """The first distribution of each parameter, with which later ones must be compatible."""
        self._selections: dict[_State, _Selection] = {}

    def set(self, trial: FrozenTrial) -> None:
        """Add a trial, or replace it by a changed copy."""
        if trial.number == len(self.trials):
            self.trials.append(trial)
        else:
            self.trials[trial.number] = trial
        for selection in self._selections.values():
            selection.changed.add(trial.number)

    def select(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """A list of the trials that have one of these states."""
        if states is None:
            return list(self.trials)
        key = frozenset(state for state in TrialState if state in states)
        if key not in self._selections:
            self._selections[key] = _Selection(key, self.trials)
        return self._selections[key].update(self.trials)


class IndexedReplay(JournalStorageReplayResult):
    """Applies the lines of a journal as Optuna does, with work that does not grow with the trials.

    Optuna looks through all trials whenever it is asked for those of a state, also for the waiting one that
    `Study.ask` starts next, and for an earlier trial with a parameter that is set.

    A trial that was returned in a list never changes: a later line replaces it by a copy. So other threads
    can read it. Lines that follow one another without a list in between change the same copy.
    """

    def __init__(self, worker_id_prefix: str) -> None:
        super().__init__(worker_id_prefix)
        self._by_study: dict[int, _StudyTrials] = {}
        self._unshared: set[int] = set()
        """The ids of the trials whose objects were returned to nobody, so that they can be changed."""

    def restore(self, studies: dict[str, Any], trials: list[FrozenTrial]) -> None:
        """Continue from a snapshot.

        Args:
            studies: what `studies` returned.
            trials: all trials, ordered by id.
        """
        self.__dict__.update(studies)
        for trial_id, trial in enumerate(trials):
            self._trials[trial_id] = trial
            self._study_of(trial_id).set(trial)
        for study in self._by_study.values():
            for trial in study.trials:
                _note_distributions(study, trial)

    def studies(self) -> dict[str, Any]:
        """A copy of everything except the trials, for `restore`."""
        return {
            "log_number_read": self.log_number_read,
            "_studies": {number: copy.copy(study) for number, study in self._studies.items()},
            "_study_id_to_trial_ids": {
                number: list(ids) for number, ids in self._study_id_to_trial_ids.items()
            },
            "_trial_id_to_study_id": dict(self._trial_id_to_study_id),
            "_next_study_id": self._next_study_id,
        }

    def every_trial(self) -> list[FrozenTrial]:
        """The trials of all studies, ordered by id."""
        self._unshared.clear()
        return list(self._trials.values())

    def get_all_trials(self, study_id: int, states: Container[TrialState] | None) -> list[FrozenTrial]:
        self.get_study(study_id)  # raises an exception if there is none
        self._unshared.clear()
        return self._by_study[study_id].select(states) if study_id in self._by_study else []

    def look_at_trials(self, study_id: int) -> Sequence[FrozenTrial]:
        """The trials of a study, ordered by number, without the copy of the list that grows with them.

        The list changes with the study, so the caller must not keep it.
        """
        self.get_study(study_id)
        self._unshared.clear()
        return self._by_study[study_id].trials if study_id in self._by_study else ()

    def get_trial(self, trial_id: int) -> FrozenTrial:
        # Optuna's `Trial` changes the trial that it is given, which can be in lists that were returned.
        trial = super().get_trial(trial_id)
        return trial if trial.state.is_finished() else copy_trial(trial)

    def _study_of(self, trial_id: int) -> _StudyTrials:
        return self._by_study.setdefault(self._trial_id_to_study_id[trial_id], _StudyTrials())

    def _editable(self, trial_id: int) -> FrozenTrial:
        """A trial that can be changed: a copy if its object was returned to somebody."""
        if trial_id not in self._unshared:
            self._trials[trial_id] = copy_trial(self._trials[trial_id])
            self._unshared.add(trial_id)
            self._study_of(trial_id).set(self._trials[trial_id])
        return self._trials[trial_id]

    def _apply_create_trial(self, log: dict[str, Any]) -> None:
        trial_id = len(self._trials)
        super()._apply_create_trial(log)
        if trial_id in self._trials:
            if "params" not in log:  # otherwise its attributes are those of the caller's template
                self._unshared.add(trial_id)
            study, trial = self._study_of(trial_id), self._trials[trial_id]
            study.set(trial)
            _note_distributions(study, trial)

    def _apply_set_trial_param(self, log: dict[str, Any]) -> None:
        trial_id, name = log["trial_id"], sys.intern(log["param_name"])
        if not self._trial_exists_and_updatable(trial_id, log):
            return
        distribution = _distribution(log["distribution"])
        known = self._study_of(trial_id).distributions.setdefault(name, distribution)
        if known is not distribution:
            try:
                check_distribution_compatibility(known, distribution)
            except ValueError:
                if self._is_issued_by_this_worker(log):
                    raise
                return
        trial = self._editable(trial_id)
        trial.params[name] = distribution.to_external_repr(log["param_value_internal"])
        trial.distributions[name] = distribution

    def _apply_set_trial_state_values(self, log: dict[str, Any]) -> None:
        trial_id = log["trial_id"]
        before = self._trials.get(trial_id)
        super()._apply_set_trial_state_values(log)
        after = self._trials.get(trial_id)
        if after is not None and after is not before:
            self._study_of(trial_id).set(after)  # a copy, whose attributes are those of `before`
            self._unshared.discard(trial_id)

    def _apply_set_trial_intermediate_value(self, log: dict[str, Any]) -> None:
        trial_id = log["trial_id"]
        if self._trial_exists_and_updatable(trial_id, log):
            self._editable(trial_id).intermediate_values[log["step"]] = log["intermediate_value"]

    def _apply_set_trial_user_attr(self, log: dict[str, Any]) -> None:
        trial_id = log["trial_id"]
        if self._trial_exists_and_updatable(trial_id, log):
            self._editable(trial_id).user_attrs.update(log["user_attr"])

    def _apply_set_trial_system_attr(self, log: dict[str, Any]) -> None:
        trial_id = log["trial_id"]
        if self._trial_exists_and_updatable(trial_id, log):
            self._editable(trial_id).system_attrs.update(log["system_attr"])


_distribution = lru_cache(maxsize=1024)(json_to_distribution)
"""The distribution that a line of the journal describes. All trials share it."""


def _note_distributions(study: _StudyTrials, trial: FrozenTrial) -> None:
    for name, distribution in trial.distributions.items():
        study.distributions.setdefault(name, distribution)


def copy_trial(trial: FrozenTrial) -> FrozenTrial:
    """A trial with its own parameters, reports and attributes."""
    other = FrozenTrial.__new__(FrozenTrial)
    vars(other).update(
        (name, value.copy() if type(value) is dict else value) for name, value in vars(trial).items()
    )
    return other
