"""`Plot`: what a plot is made of: which of a sweep's trials and parameters, and what it leaves out."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweep.analysis.view import SweepView
from sweep.errors import InputError, SweepError, suggestion
from sweep.rendering.plot_study import PlotStudy, PlotTrials, label, thinned
from sweep.sweepfile.model import Goal

MAX_LINES = 300
"""How many trials a plot with a line for each can have. A browser needs seconds for a thousand."""
_RANKED = 1000
"""From about how many trials the most important parameters are determined, which Optuna is slow at."""
MAX_POINTS = 200
"""How many points a learning curve can have."""


class NothingToPlot(SweepError):
    """The sweep does not have, or not yet, what a plot shows."""


@dataclass
class Plot:
    """What a plot is made of.

    Args:
        view: the sweep.
        kind: the name of the plot.
        goals: the indices of the goals whose values are plotted.
        chosen: the parameters that the user has chosen.
        notes: what the plot leaves out, for its title.
    """

    view: SweepView
    kind: str
    goals: Sequence[int]
    chosen: Sequence[str] | None
    notes: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, Goal]:
        """Whether to minimize or maximize each metric, by its label."""
        return {label(goal.name): goal.goal for goal in (self.view.spec.goals[i] for i in self.goals)}

    def study(self, trials: Sequence[FrozenTrial]) -> PlotStudy:
        """A study with these trials."""
        return PlotStudy(label(self.view.spec.name), trials, self.metrics)

    def trials(self) -> PlotTrials:
        """The sweep's trials, some of which are complete.

        Raises:
            NothingToPlot: no trial is complete.
        """
        if not any(
            trial.state == TrialState.COMPLETE
            and all(math.isfinite(trial.values[goal]) for goal in self.goals)
            for trial in self.view.frozen_trials
        ):
            raise NothingToPlot(
                f"{self.kind}: {self.view.spec.name} has no complete trial with a finite value"
            )
        return PlotTrials(self.view, self.goals)

    def limited(self, trials: Sequence[FrozenTrial], limit: int) -> list[FrozenTrial]:
        """At most so many of the trials, with a note if that is not all."""
        kept = thinned(trials, limit, next(iter(self.metrics.values())))
        if len(kept) < len(trials):
            self.notes.append(f"{len(kept)} of {len(trials)} trials: the best and a sample of the others")
        return kept


def complete_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def reported_trials(plot: Plot, numbers: Collection[int]) -> list[FrozenTrial]:
    """The trials whose learning curves a plot shows, some of those with these numbers."""
    if not numbers:
        metric = plot.view.spec.pruning_metric.name
        raise NothingToPlot(f"{plot.kind}: no trial of {plot.view.spec.name} has reported {metric} by step")
    trials = PlotTrials(plot.view, plot.goals[:1]).shown()
    return plot.limited([trial for trial in trials if trial.number in numbers], MAX_LINES)


def fewer_points(curve: Sequence[tuple[int, float]], most: int = MAX_POINTS) -> Sequence[tuple[int, float]]:
    """At most `most` points of a curve, evenly spaced, with the first and the last."""
    if len(curve) <= most:
        return curve
    return [curve[round(index * (len(curve) - 1) / (most - 1))] for index in range(most)]


def chosen_params(plot: Plot, trials: PlotTrials, least: int, most: int) -> list[str]:
    """The labels of the parameters that a plot shows: those chosen, or the most important ones.

    Args:
        plot: the plot.
        trials: the trials.
        least: how many it needs.
        most: how many it shows by default.
    """
    name, known = plot.view.spec.name, plot.view.varied
    for chosen in plot.chosen or ():
        if chosen not in known:
            raise InputError(
                f"--params: {chosen}: is not a parameter that {name} varies; {suggestion(chosen, known)}"
            )
    if not known and not plot.view.spec.is_define_by_run:
        raise NothingToPlot(f"{plot.kind}: {name} varies no parameter")
    if len(known) < least and not plot.view.spec.is_define_by_run:
        raise InputError(
            f"{plot.kind}: needs two parameters, and {name} varies {', '.join(known)}; use slice"
        )
    if plot.chosen is not None and len(set(plot.chosen)) < least:
        raise InputError(f"--params: {plot.kind} needs two parameters; add another one, such as --params a,b")
    values: dict[str, set[Any]] = {}
    for trial in complete_trials(trials.shown()):
        for key, value in trial.params.items():
            values.setdefault(key, set()).add(value)
    wanted = [label(chosen) for chosen in dict.fromkeys(plot.chosen or known)]
    usable = [key for key in wanted if len(values.get(key, ())) >= least]
    missing = [key for key in wanted if key not in usable]
    if len(usable) < least or (missing and plot.chosen):
        if least == 1:
            raise NothingToPlot(f"{plot.kind}: no complete trial of {name} has {' or '.join(missing)}")
        found = f"only {' and '.join(usable)} does" if usable else "none does"
        raise NothingToPlot(
            f"{plot.kind}: needs two parameters that differ between the complete trials of {name}; {found}"
        )
    if plot.chosen is None and len(usable) > most:
        total, usable = len(usable), _most_important(plot, usable)[:most]
        plot.notes.append(f"the {most} most important of {total} parameters; choose others with --params")
    return usable


def _most_important(plot: Plot, names: Sequence[str]) -> list[str]:
    """The parameters, the most important first, as far as some of the trials tell."""
    from optuna.importance import get_param_importances

    sampled = PlotTrials(plot.view, plot.goals[:1]).sampled()
    study = PlotStudy("", sampled[:: 1 + len(sampled) // _RANKED], {"": next(iter(plot.metrics.values()))})
    importances = get_param_importances(study)
    return sorted(names, key=lambda name: -importances.get(name, 0.0))
