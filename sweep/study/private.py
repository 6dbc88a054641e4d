"""The private parts of Optuna on which this package depends, in one module. Checked with Optuna 5.0.

* The storage behind a study and a trial: Optuna's trials do not accept reports in a study with several
  objectives (optuna#3450), and Optuna has no public way to continue a trial that another process has started.
* The attributes in which successive halving stores its rungs.
* The random sampler of TPE and NSGA, which has the same seed as the sampler itself.
* How TPE splits trials into good ones and others, and the part of a study that Hyperband shows to samplers.

Others are the replay of Optuna's journal, which `replay.py` and `snapshot.py` extend, and the method of a
study by which TPE reads trials, which `bounded_tpe.py` provides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import optuna
from optuna.samplers import NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.samplers._tpe import sampler as tpe
from optuna.trial import FrozenTrial

from sweep.study.storage import IndexedJournalStorage

_Sampler = TypeVar("_Sampler", TPESampler, NSGAIISampler, NSGAIIISampler)


def storage_of(study: optuna.Study) -> Any:
    """The storage of a study, without the cache of its trials."""
    return study._storage


def look_at_trials(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The trials of a study, ordered by number. Do not change them, and do not keep the list.

    A list of the trials of a long study takes longer to copy than anything else that is done for a report.
    """
    storage = study._storage
    if isinstance(storage, IndexedJournalStorage):
        return storage.look_at_trials(study._study_id)
    return study.get_trials(deepcopy=False)


def reopen_trial(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    """The live trial of a running trial that was read from the study."""
    return optuna.Trial(study, frozen._trial_id)


def read_trial(study: optuna.Study, trial: optuna.Trial) -> FrozenTrial:
    """A live trial as it is stored."""
    return study._storage.get_trial(trial._trial_id)


def store_system_attribute(trial: optuna.Trial, key: str, value: Any) -> None:
    """Store a system attribute of a trial. Optuna has removed the public method for that."""
    trial.storage.set_trial_system_attr(trial._trial_id, key, value)


def store_report(study: optuna.Study, trial: optuna.Trial, step: int, value: float) -> None:
    """Store an intermediate value of a trial. A step that was reported before keeps its first value."""
    reported = trial._cached_frozen_trial.intermediate_values
    if step not in reported:
        study._storage.set_trial_intermediate_value(trial._trial_id, step, value)
        reported[step] = value


def replace_random_sampler(sampler: _Sampler, random: RandomSampler) -> _Sampler:
    """Have a sampler use this one for parameters that it samples at random."""
    sampler._random_sampler = random
    return sampler


def rung_key(rung: int) -> str:
    """The attribute in which Optuna's successive halving stores the value of a trial at a rung."""
    return f"completed_rung_{rung}"


def rung_of(trial: FrozenTrial) -> int:
    """The first rung at which successive halving has not stored a value of the trial."""
    rung = 0
    while rung_key(rung) in trial.system_attrs:
        rung += 1
    return rung


def store_rung(study: optuna.Study, trial: FrozenTrial, rung: int, value: float) -> None:
    """Store the value of a trial at a rung of successive halving."""
    study._storage.set_trial_system_attr(trial._trial_id, rung_key(rung), value)


def split_trials(
    study: Any, trials: list[FrozenTrial], history: int
) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """The good trials and the others, each ordered by number, as TPE splits them in a study of this length.

    Args:
        study: a study with directions, and a direction by which pruned trials are ranked.
        trials: finished trials.
        history: the length.
    """
    single = len(study.directions) == 1
    good = (tpe.default_gamma if single else tpe.default_gamma_multiobjective)(history)
    return tpe._split_trials(study, trials, good)


def whole_study(study: optuna.Study) -> optuna.Study:
    """The study of which Optuna shows a sampler the trials of one Hyperband bracket only."""
    return cast("optuna.Study", getattr(study, "_study", study)) if hasattr(study, "_bracket_id") else study
