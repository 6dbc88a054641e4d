"""Creates Optuna's pruner from the pruner in a sweep file."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import optuna.pruners as pruners
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner

from sweep.errors import EntryError
from sweep.study.bands_pruner import BandsPruner
from sweep.study.percentile_pruner import LastValuePercentilePruner
from sweep.study.rungs_pruner import BracketsPruner, RungsPruner
from sweep.study.wilcoxon_pruner import BestTrialWilcoxonPruner
from sweep.sweepfile import pruners as spec
from sweep.sweepfile.base import optuna_options
from sweep.system.importing import construct, load_class

_CLASSES: dict[type, type[BasePruner]] = {
    spec.NoPruner: pruners.NopPruner,
    spec.PercentilePruner: LastValuePercentilePruner,
    spec.AshaPruner: RungsPruner,
    spec.HyperbandPruner: BracketsPruner,
    spec.ThresholdPruner: pruners.ThresholdPruner,
    spec.WilcoxonPruner: BestTrialWilcoxonPruner,
    spec.BandsPruner: BandsPruner,
}

_NOT_OPTUNAS = ("metric", "steps")


def make_pruner(pruner: spec.Pruner) -> BasePruner:
    """Create Optuna's pruner with the options of the sweep file.

    Raises:
        EntryError: a package that it needs is missing, or the custom class does not exist.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _make(pruner, "pruner")


def _make(pruner: spec.Pruner, key: str) -> BasePruner:
    if isinstance(pruner, spec.CustomPruner):
        class_ = load_class(f"{key}.type", pruner.type, BasePruner)  # type: ignore[type-abstract]
        return construct(key, pruner.type, class_, pruner.options)
    if isinstance(pruner, spec.PatientPruner):
        wrapped = None if pruner.wrapped is None else _make(pruner.wrapped, f"{key}.wrapped")
        return pruners.PatientPruner(wrapped, pruner.patience, float(pruner.min_delta))
    if isinstance(pruner, spec.WilcoxonPruner) and find_spec("scipy") is None:
        raise EntryError(f"{key}.type", "wilcoxon needs the package scipy; pip install scipy")
    options = optuna_options(pruner, *_NOT_OPTUNAS)
    if isinstance(pruner, spec.MedianPruner):
        return LastValuePercentilePruner(50, **options)
    return _CLASSES[type(pruner)](**options)


def first_decision(pruner: spec.Pruner) -> int | None:
    """The number of reports after which a pruner can first stop a trial; None if that is not certain."""
    match pruner:
        case spec.BandsPruner():
            return min(BandsPruner(**optuna_options(pruner, *_NOT_OPTUNAS)).bands)
        case spec.AshaPruner(min_resource=int(first)):
            return int(first * pruner.reduction_factor**pruner.min_early_stopping_rate)
        case spec.HyperbandPruner():
            return pruner.min_resource
    return None


def first_report_note(pruner: spec.Pruner) -> list[str]:
    """A warning that the pruner judges the first report of a trial, which can be one before training."""
    if isinstance(pruner, spec.PatientPruner) and pruner.wrapped is not None:
        return first_report_note(pruner.wrapped)
    if isinstance(pruner, spec.MedianPruner | spec.PercentilePruner) and not pruner.warmup_steps:
        return [
            f"{pruner.type} can stop a trial at its first report; if it is evaluated before training, "
            "set warmup_steps to its first step after training has begun"
        ]
    return []


def pruner_notes(pruner: spec.Pruner, has_repeats: bool = False) -> list[str]:
    """Warnings about the pruner for the author of a sweep file.

    Args:
        pruner: the pruner.
        has_repeats: whether each trial is repeated with several seeds.
    """
    if isinstance(pruner, spec.PatientPruner):
        return [] if pruner.wrapped is None else pruner_notes(pruner.wrapped, has_repeats)
    if isinstance(pruner, spec.AshaPruner) and pruner.min_resource == "auto":
        return [
            "asha with min_resource: auto prunes nothing until a trial is complete, and then starts at a "
            "hundredth of its steps; set min_resource to the number of steps that each trial should have"
        ]
    if isinstance(pruner, spec.HyperbandPruner):
        if pruner.max_resource == "auto":
            return [
                "hyperband with max_resource: auto prunes nothing until a trial is complete, and takes its "
                "number of steps; set max_resource to the number of steps of a complete trial"
            ]
        if int(pruner.max_resource) < pruner.min_resource * pruner.reduction_factor:
            return [
                "hyperband has only one bracket, like asha: max_resource is less than "
                "min_resource * reduction_factor"
            ]
    if isinstance(pruner, spec.WilcoxonPruner) and not has_repeats:  # with repeats it compares seeds
        return [
            "wilcoxon treats steps as instances (folds, problems) on which all trials are evaluated, not as "
            "epochs; the result must be the mean of the reported values"
        ]
    return []
