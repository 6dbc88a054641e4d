"""The private parts of Optuna on which this package depends, in one module. Checked with Optuna 5.0.

* The storage behind a study and a trial: Optuna's trials do not accept reports in a study with several
  objectives (optuna#3450), and Optuna has no public way to continue a trial that another process has started.
* The search for the Pareto front of many trials, whose public form walks through a whole study.
* The random sampler of TPE and NSGA, which has the same seed as the sampler itself.

Another one is the method that `multi_objective_tpe.py` overrides.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import optuna
from optuna.samplers import NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study._multi_objective import _is_pareto_front
from optuna.trial import FrozenTrial

_Sampler = TypeVar("_Sampler", TPESampler, NSGAIISampler, NSGAIIISampler)


def storage_of(study: optuna.Study) -> Any:
    """The storage of a study, without the cache of its trials."""
    return study._storage


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


def is_on_front(losses: np.ndarray) -> np.ndarray:
    """Which rows of an array of losses no other row dominates. Equal rows do not dominate each other."""
    return _is_pareto_front(losses, assume_unique_lexsorted=False) if len(losses) else np.zeros(0, bool)


def replace_random_sampler(sampler: _Sampler, random: RandomSampler) -> _Sampler:
    """Have a sampler use this one for parameters that it samples at random."""
    sampler._random_sampler = random
    return sampler
