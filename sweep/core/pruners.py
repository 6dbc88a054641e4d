"""From a pruner in the sweep file to Optuna's pruner."""

from __future__ import annotations

import optuna.pruners as pruners
from optuna.pruners import BasePruner

from sweep.spec import pruners as spec


def make_pruner(pruner: spec.Pruner) -> BasePruner:
    """Optuna's pruner with the options of the sweep file."""
    match pruner:
        case spec.NoPruner():
            return pruners.NopPruner()
        case spec.MedianPruner():
            return pruners.MedianPruner(
                n_startup_trials=pruner.startup_trials,
                n_warmup_steps=pruner.warmup_steps,
                interval_steps=pruner.interval_steps,
                n_min_trials=pruner.min_trials,
            )
        case spec.PercentilePruner():
            return pruners.PercentilePruner(
                float(pruner.percentile),
                n_startup_trials=pruner.startup_trials,
                n_warmup_steps=pruner.warmup_steps,
                interval_steps=pruner.interval_steps,
                n_min_trials=pruner.min_trials,
            )
        case spec.AshaPruner():
            return pruners.SuccessiveHalvingPruner(**pruner.model_dump(exclude={"type"}))
        case spec.HyperbandPruner():
            return pruners.HyperbandPruner(**pruner.model_dump(exclude={"type"}))
