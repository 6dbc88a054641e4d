"""Pruning, with several objectives too."""

from __future__ import annotations

import math

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class Pruning:
    """Keeps the reports of a study's trials and asks its pruner about them.

    With one objective this is what `optuna.Trial` does. With several, Optuna's trials neither take reports
    nor know pruners (optuna#3450), and pruners ask for the study's one direction. Then the reports are kept
    in the study all the same, but the pruner sees a shadow of it, in memory, whose one objective is that by
    which trials are pruned. What a pruner notes in a trial (the rungs of successive halving) is kept in the
    study too, so nothing is lost with the process.

    Args:
        study: the sweep's. Its pruner is set.
        pruner: judges.
        objective: the place, among the study's objectives, of the metric that is reported.
    """

    def __init__(self, study: optuna.Study, pruner: BasePruner, objective: int = 0) -> None:
        self._study = study
        self._objective = objective
        self._shadow: optuna.Study | None = None
        self._shadow_ids: list[int] = []
        """By trial number: trials have the same numbers there."""
        study.pruner = pruner
        if len(study.directions) > 1:
            study.pruner = NopPruner()  # samplers look at Hyperband's brackets: these are the shadow's
            self._shadow = self._make_shadow(pruner)

    def report(self, trial: optuna.Trial, step: int, value: float) -> None:
        """Keep an intermediate value. A step that was reported before keeps its first value."""
        if self._shadow is None:
            trial.report(value, step)
            return
        known = trial._cached_frozen_trial.intermediate_values
        if step in known:
            return
        self._study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
        known[step] = value
        self._shadow._storage.set_trial_intermediate_value(self._shadow_id(trial.number), step, value)

    def should_prune(self, trial: optuna.Trial) -> bool:
        """Whether the pruner would stop the trial."""
        if self._shadow is None:
            return trial.should_prune()
        storage = self._shadow._storage
        shadow_id = self._follow(trial)
        before = dict(storage.get_trial_system_attrs(shadow_id))
        verdict = self._shadow.pruner.prune(self._shadow, storage.get_trial(shadow_id))
        for key, value in storage.get_trial_system_attrs(shadow_id).items():
            if key not in before or before[key] != value:
                self._study._storage.set_trial_system_attr(trial._trial_id, key, value)
        return verdict

    def ended(self, trial: FrozenTrial) -> None:
        """A trial has its final outcome."""
        if self._shadow is None:
            return
        storage = self._shadow._storage
        shadow_id = self._shadow_id(trial.number)
        if not storage.get_trial(shadow_id).state.is_finished():
            for key, value in trial.system_attrs.items():
                storage.set_trial_system_attr(shadow_id, key, value)
            state, values = self._outcome(trial)
            storage.set_trial_state_values(shadow_id, state, values)

    def _make_shadow(self, pruner: BasePruner) -> optuna.Study:
        # The same name: Hyperband derives a trial's bracket from it.
        shadow = optuna.create_study(
            study_name=self._study.study_name,
            storage=InMemoryStorage(),
            direction=self._study.directions[self._objective],
            sampler=optuna.samplers.RandomSampler(),
            pruner=pruner,
        )
        for trial in self._study.get_trials(deepcopy=False):
            state, values = self._outcome(trial)
            template = FrozenTrial(
                number=trial.number,
                trial_id=-1,
                state=state,
                value=None,
                values=values,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
                params=dict(trial.params),
                distributions=dict(trial.distributions),
                user_attrs=dict(trial.user_attrs),
                system_attrs=dict(trial.system_attrs),
                intermediate_values=dict(trial.intermediate_values),
            )
            self._shadow_ids.append(shadow._storage.create_new_trial(shadow._study_id, template))
        return shadow

    def _outcome(self, trial: FrozenTrial) -> tuple[TrialState, list[float] | None]:
        """How a trial of the study appears in the shadow: with one value, if it has any."""
        if trial.state == TrialState.WAITING:
            return TrialState.RUNNING, None  # it will run; until then it has nothing that a pruner looks at
        if trial.state == TrialState.COMPLETE:
            return trial.state, [trial.values[self._objective]]
        if trial.state == TrialState.PRUNED and trial.last_step is not None:
            last = trial.intermediate_values[trial.last_step]
            return trial.state, None if math.isnan(last) else [last]
        return trial.state, None

    def _follow(self, trial: optuna.Trial) -> int:
        """The id of the trial's shadow, which has its parameters."""
        assert self._shadow is not None
        shadow_id = self._shadow_id(trial.number)
        missing = trial.distributions.keys() - self._shadow._storage.get_trial(shadow_id).distributions.keys()
        for name in missing:
            distribution = trial.distributions[name]
            self._shadow._storage.set_trial_param(
                shadow_id, name, distribution.to_internal_repr(trial.params[name]), distribution
            )
        return shadow_id

    def _shadow_id(self, number: int) -> int:
        assert self._shadow is not None
        while len(self._shadow_ids) <= number:  # those between have not been heard of yet
            self._shadow_ids.append(self._shadow._storage.create_new_trial(self._shadow._study_id))
        return self._shadow_ids[number]
