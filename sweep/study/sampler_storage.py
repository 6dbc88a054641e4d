"""`SamplerStorage`: a study as it was at one moment, for a sampler in another thread."""

from __future__ import annotations

from collections.abc import Container
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweep.study.private import id_of, storage_of
from sweep.study.replay import copy_trial

_NEW = -1
"""The id of a trial that the study does not have yet."""


class SamplerStorage(BaseStorage):
    """The storage of a study at the moment of its creation, with one more running trial, which is sampled.

    The other trials are those of the study, not copies: a storage never changes trials that it has returned
    in a list. What a sampler stores is seen only in the snapshot, until `apply` stores it in the study.

    Args:
        study: the study. The constructor reads all that a sampler needs.
        waiting: the enqueued trial that is sampled; None for a new trial.
    """

    def __init__(self, study: optuna.Study, waiting: FrozenTrial | None) -> None:
        self._study = study
        self._study_attrs = {
            "user": dict(study.user_attrs),
            "system": dict(storage_of(study).get_study_system_attrs(id_of(study))),
        }
        self._trials = study.get_trials(deepcopy=False)
        if waiting is None:
            self._trial = _new_trial(len(self._trials))
            self._trials.append(self._trial)
        else:
            self._trial = self._trials[waiting.number] = copy_trial(waiting)
            self._trial.state, self._trial.datetime_start = TrialState.RUNNING, datetime.now()
        self._writes: list[tuple[str, int, tuple[Any, ...]]] = []
        """The methods by which the sampler has stored something, with their arguments."""

    def ask(self, sampler: BaseSampler) -> optuna.Trial:
        """Start the trial: it has all parameters that the sampler chooses before the objective runs."""
        view = optuna.Study(self._study.study_name, self, sampler, self._study.pruner)
        trial = optuna.Trial(view, id_of(self._trial))
        trial.relative_params  # noqa: B018 - Optuna samples them now
        return trial

    def apply(self, trial_id: int) -> None:
        """Store in the study what the sampler has stored.

        Args:
            trial_id: the id in the study of the trial that runs with the sampled parameters.
        """
        for method, target, arguments in self._writes:
            with suppress(UpdateFinishedTrialError):  # another trial, which has finished in the meantime
                getattr(storage_of(self._study), method)(trial_id if target == _NEW else target, *arguments)

    # What a sampler can read.

    def get_study_id_from_name(self, study_name: str) -> int:
        return id_of(self._study)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study.study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._study.directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_attrs["user"]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_attrs["system"]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id == id_of(self._trial):
            return self._trial
        return next(trial for trial in self._trials if id_of(trial) == trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self._trials if trial.state in states] if states else self._trials[:]
        return [copy_trial(trial) for trial in trials] if deepcopy else trials

    # What a sampler can store.

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._study_attrs["user"][key] = value
        self._writes.append(("set_study_user_attr", study_id, (key, value)))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._study_attrs["system"][key] = value
        self._writes.append(("set_study_system_attr", study_id, (key, value)))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._editable(trial_id).user_attrs[key] = value
        self._writes.append(("set_trial_user_attr", trial_id, (key, value)))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._editable(trial_id).system_attrs[key] = value
        self._writes.append(("set_trial_system_attr", trial_id, (key, value)))

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Enqueue a trial. The snapshot does not show it."""
        self._writes.append(("create_new_trial", study_id, (template_trial,)))
        return _NEW

    def _editable(self, trial_id: int) -> FrozenTrial:
        trial = self.get_trial(trial_id)
        if trial is not self._trial:
            trial = self._trials[trial.number] = copy_trial(trial)
        return trial

    # What no sampler does.

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("a sampler can store attributes and enqueue trials, nothing else")

    create_new_study = delete_study = get_all_studies = _refuse
    set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refuse


def _new_trial(number: int) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=_NEW,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
