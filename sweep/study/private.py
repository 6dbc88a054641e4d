"""The private parts of Optuna on which this package depends, in one module. Checked with Optuna 5.0.

* The storage behind a study and a trial, and their ids: Optuna's trials do not accept reports in a study with
  several objectives (optuna#3450), and Optuna has no public way to continue a trial that another process has
  started.
* The attributes in which successive halving stores its rungs, and a trial its constraints.
* The random sampler of TPE and NSGA, which has the same seed as the sampler itself.
* The module of PED-ANOVA without the package around it, which imports scikit-learn.
* How TPE ranks trials and splits them into good ones and others, and the part of a study that Hyperband shows
  to samplers.

Others are the replay of Optuna's journal, which `replay.py` and `snapshot.py` extend; TPE's sampling of one
trial, which `bounded_tpe.py` replaces; and its density, which `parzen.py` evaluates.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import optuna
from optuna.samplers import NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.samplers._tpe import sampler as tpe
from optuna.study import StudyDirection
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.trial import FrozenTrial, TrialState

from sweep.study.storage import IndexedJournalStorage

_Sampler = TypeVar("_Sampler", TPESampler, NSGAIISampler, NSGAIIISampler)


def storage_of(study: optuna.Study) -> Any:
    """The storage of a study, without the cache of its trials."""
    return study._storage


def id_of(item: optuna.Study | optuna.Trial | FrozenTrial) -> int:
    """The id of a study or a trial in its storage."""
    return item._study_id if isinstance(item, optuna.Study) else item._trial_id


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


def store_constraint(trial: optuna.Trial, name: str, value: float) -> None:
    """Store the value of a constraint, also if it has one: Optuna's `set_constraint` would keep that."""
    store_system_attribute(trial, f"{_CONSTRAINTS_KEY}:{name}", value)


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


def store_rung(study: optuna.Study, trial: FrozenTrial, rung: int, value: float) -> None:
    """Store the value of a trial at a rung of successive halving."""
    study._storage.set_trial_system_attr(trial._trial_id, rung_key(rung), value)


def number_of_good_trials(study: optuna.Study, trials: int) -> int:
    """How many of so many trials TPE takes for good ones."""
    single = len(study.directions) == 1
    return (tpe.default_gamma if single else tpe.default_gamma_multiobjective)(trials)


def good_trials(study: Any, trials: list[FrozenTrial], count: int) -> set[int]:
    """The numbers of the trials that TPE takes for good ones.

    Args:
        study: a study with directions, and a direction by which pruned trials are ranked.
        trials: finished trials, ordered by number.
        count: how many are good.
    """
    return {trial.number for trial in tpe._split_trials(study, trials, count)[0]}


def tpe_rank(study: Any, trial: FrozenTrial) -> Any:
    """The key by which TPE sorts finished trials of one objective, the good ones first."""
    penalty = tpe._get_infeasible_trial_score(trial)
    if penalty > 0:
        return 2, penalty
    if trial.state == TrialState.PRUNED:
        return 1, tpe._get_pruned_trial_score(trial, study)
    value = cast("float", trial.value)
    return 0, value if study.direction == StudyDirection.MINIMIZE else -value


def whole_study(study: optuna.Study) -> optuna.Study:
    """The study of which Optuna shows a sampler the trials of one Hyperband bracket only."""
    return cast("optuna.Study", getattr(study, "_study", study)) if hasattr(study, "_bracket_id") else study


@cache
def ped_anova_evaluator() -> Any:
    """The class `optuna.importance.PedAnovaImportanceEvaluator`.

    Its package also imports scikit-learn, if it is installed, for other evaluators: that takes 1 to 2 s. An
    empty package is in its place while the module is imported; a later import gets the real one.
    """
    name = "optuna.importance"
    if name in sys.modules:
        return importlib.import_module(name).PedAnovaImportanceEvaluator
    package = ModuleType(name)
    package.__path__ = [str(Path(optuna.__file__).parent / "importance")]
    sys.modules[name] = package
    try:
        return importlib.import_module(f"{name}._ped_anova.evaluator").PedAnovaImportanceEvaluator
    finally:
        for imported in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[imported]
