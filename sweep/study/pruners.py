"""From a pruner in the sweep file to Optuna's pruner."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import optuna.pruners as pruners
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner

from sweep.errors import EntryError
from sweep.sweepfile import pruners as spec
from sweep.sweepfile.base import optuna_options
from sweep.sweepfile.wandb.hyperband import BandsPruner
from sweep.system.importing import construct, load_class


def make_pruner(pruner: spec.Pruner) -> BasePruner:
    """Optuna's pruner with the options of the sweep file.

    Raises:
        EntryError: a package that it needs is not there, or there is no such class of one's own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _make(pruner, "pruner")


def _make(pruner: spec.Pruner, key: str) -> BasePruner:
    if isinstance(pruner, spec.CustomPruner):
        class_ = load_class(f"{key}.type", pruner.type, BasePruner)  # type: ignore[type-abstract]
        return construct(key, pruner.type, class_, pruner.options)
    given = optuna_options(pruner, "metric")
    match pruner:
        case spec.NoPruner():
            return pruners.NopPruner()
        case spec.MedianPruner():
            return pruners.MedianPruner(**given)
        case spec.PercentilePruner():
            return pruners.PercentilePruner(**given)
        case spec.AshaPruner():
            return pruners.SuccessiveHalvingPruner(**given)
        case spec.HyperbandPruner():
            return pruners.HyperbandPruner(**given)
        case spec.ThresholdPruner():
            return pruners.ThresholdPruner(**given)
        case spec.WilcoxonPruner():
            if find_spec("scipy") is None:
                raise EntryError(f"{key}.type", "wilcoxon needs the package scipy; pip install scipy")
            return pruners.WilcoxonPruner(**given)
        case spec.BandsPruner():
            return BandsPruner(**given)
        case spec.PatientPruner():
            wrapped = None if pruner.wrapped is None else _make(pruner.wrapped, f"{key}.wrapped")
            return pruners.PatientPruner(wrapped, pruner.patience, float(pruner.min_delta))


def pruner_notes(pruner: spec.Pruner) -> list[str]:
    """What the author of a sweep file may want to know about its pruner."""
    if isinstance(pruner, spec.PatientPruner):
        return [] if pruner.wrapped is None else pruner_notes(pruner.wrapped)
    if isinstance(pruner, spec.AshaPruner) and pruner.min_resource == "auto":
        return [
            "asha with min_resource: auto stops nothing until a trial is complete, and then judges from a "
            "hundredth of its steps on; write min_resource: the number of steps each trial shall have"
        ]
    if isinstance(pruner, spec.HyperbandPruner):
        if pruner.max_resource == "auto":
            return [
                "hyperband with max_resource: auto stops nothing until a trial is complete, and takes its "
                "number of steps; write max_resource: the number of steps of a whole trial"
            ]
        if int(pruner.max_resource) < pruner.min_resource * pruner.reduction_factor:
            return [
                "hyperband has one bracket only, as asha: max_resource is less than "
                "min_resource * reduction_factor"
            ]
    if isinstance(pruner, spec.WilcoxonPruner):
        return [
            "wilcoxon takes the steps for instances (folds, problems) that all trials are evaluated on, not "
            "for epochs; the result has to be the mean of what was reported"
        ]
    return []
