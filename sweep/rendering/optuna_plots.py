"""The plots of `optuna.visualization`, each for as many trials as a browser can show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from sweep.analysis import formatting as text
from sweep.rendering.plot_data import (
    MAX_LINES,
    Plot,
    chosen_params,
    complete_trials,
    fewer_points,
    reported_trials,
)
from sweep.rendering.plot_study import PlotStudy, PlotTrials, label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_PARAMS = 4
"""How many parameters a plot with a cell for each pair shows by default."""
MAX_COLUMNS = 12
"""How many parameters a plot with a column for each shows by default."""
MAX_BYTES = 2_000_000
"""About how much data a plot can have. With Plotly's script, a page has 5 MB more."""
MAX_FITS = 50
"""How many trials `terminator-improvement` has: Optuna fits a Gaussian process for each of them."""


def _by_optuna(plot: Plot, study: PlotStudy, **options: Any) -> Figure:
    """Draw a plot by Optuna's function of its name."""
    import optuna.visualization

    function = getattr(optuna.visualization, "plot_" + plot.kind.replace("-", "_"))
    return function(study, **options)


def _target_name(plot: Plot) -> str:
    return next(iter(plot.metrics))


def _text_size(trials: PlotTrials) -> int:
    """About how many bytes the text has that Optuna shows for a trial under the pointer."""
    return 150 + sum(len(parameter.key) + 30 for parameter in trials.parameters.values())


def history(plot: Plot) -> Figure:
    """The value of each trial, and the best so far."""
    return _by_optuna(plot, plot.study(plot.trials().shown()), target_name=_target_name(plot))


def edf(plot: Plot) -> Figure:
    """The share of trials up to each value."""
    return _by_optuna(plot, plot.study(plot.trials().shown()), target_name=_target_name(plot))


def slices(plot: Plot) -> Figure:
    """The value over each parameter."""
    trials = plot.trials()
    names = chosen_params(plot, trials, 1, MAX_COLUMNS)
    shown = plot.limited(complete_trials(trials.shown()), MAX_BYTES // (40 * len(names)))
    return _by_optuna(plot, plot.study(shown), params=names, target_name=_target_name(plot))


def parallel_coordinate(plot: Plot) -> Figure:
    """A line through its parameters for each trial."""
    trials = plot.trials()
    names = chosen_params(plot, trials, 1, MAX_COLUMNS)
    study = plot.study(plot.limited(complete_trials(trials.shown()), MAX_LINES))
    options = {} if len(plot.goals) > 1 else {"target_name": _target_name(plot)}
    return _by_optuna(plot, study, params=names, **options)


def contour(plot: Plot) -> Figure:
    """The value over pairs of parameters."""
    trials = plot.trials()
    names = chosen_params(plot, trials, 2, MAX_PARAMS)
    cells = 1 if len(names) == 2 else len(names) * (len(names) - 1)
    # Optuna has a grid with a row and a column for each trial: 10,000 trials would need gigabytes.
    limit = math.isqrt(MAX_BYTES // (11 * cells))
    study = plot.study(plot.limited(complete_trials(trials.shown()), limit))
    return _by_optuna(plot, study, params=names, target_name=_target_name(plot))


def rank(plot: Plot) -> Figure:
    """The rank of each trial over pairs of parameters."""
    trials = plot.trials()
    names = chosen_params(plot, trials, 2, MAX_PARAMS)
    cells = 1 if len(names) == 2 else len(names) ** 2
    limit = MAX_BYTES // (cells * _text_size(trials))
    study = plot.study(plot.limited(complete_trials(trials.shown()), limit))
    return _by_optuna(plot, study, params=names, target_name=_target_name(plot))


def importances(plot: Plot) -> Figure:
    """How much each parameter matters."""
    trials = plot.trials()
    names = chosen_params(plot, trials, 1, 1000)
    study = plot.study(trials.sampled())
    options = {} if len(plot.goals) > 1 else {"target_name": _target_name(plot)}
    return _by_optuna(plot, study, params=names if plot.chosen else None, **options)


def pareto_front(plot: Plot) -> Figure:
    """Several goals against each other."""
    trials = plot.trials()
    limit = MAX_BYTES // _text_size(trials)
    complete = complete_trials(trials.shown())
    front = plot.study(complete).best_trials
    kept = {trial.number: trial for trial in [*front, *plot.limited(complete, limit)]}
    return _by_optuna(plot, plot.study([kept[number] for number in sorted(kept)]))


def hypervolume_history(plot: Plot) -> Figure:
    """How the Pareto front grew."""
    trials = complete_trials(plot.trials().shown())
    columns = zip(*(trial.values for trial in trials), strict=True)
    goals = plot.metrics.values()
    reference = [
        max(column) if goal == "minimize" else min(column)
        for column, goal in zip(columns, goals, strict=True)
    ]
    worst = ", ".join(map(text.number, reference))
    plot.notes.append(f"relative to the worst value of each goal: {worst}")
    return _by_optuna(plot, plot.study(trials), reference_point=reference)


def terminator_improvement(plot: Plot) -> Figure:
    """How much is still to be gained."""
    return _by_optuna(plot, plot.study(plot.limited(complete_trials(plot.trials().shown()), MAX_FITS)))


def timeline(plot: Plot) -> Figure:
    """When each trial ran."""
    trials = PlotTrials(plot.view, plot.goals)
    started = [
        trial
        for trial in trials.shown()
        if trial.datetime_start is not None and trial.state != TrialState.WAITING
    ]
    limit = MAX_BYTES // _text_size(trials)
    return _by_optuna(plot, plot.study(plot.limited(started, limit)))


def intermediate_values(plot: Plot) -> Figure:
    """Learning curves, as Optuna draws them."""
    kept = reported_trials(
        plot, [trial.number for trial in plot.view.frozen_trials if trial.intermediate_values]
    )
    for trial in kept:
        trial.intermediate_values = dict(fewer_points(sorted(trial.intermediate_values.items())))
    drawn = _by_optuna(plot, plot.study(kept))
    return drawn.update_layout(yaxis_title=label(plot.view.spec.pruning_metric.name))
