"""`figure`: the plots of `optuna.visualization` for a sweep, its learning curves, and its slots over time."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.analysis.view import SweepView
from sweep.errors import InputError, suggestion
from sweep.rendering import optuna_plots, own_plots
from sweep.rendering.extras import require
from sweep.rendering.plot_data import NothingToPlot, Plot
from sweep.rendering.plot_study import label
from sweep.study.storage import quiet_optuna

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Kind:
    """A kind of plot.

    Args:
        draw: draws it.
        about: what it shows.
        goals: how many goals it shows: `one` at a time, `all` or those chosen, `several` or `none`.
        has_params: whether its parameters can be chosen.
    """

    draw: Callable[[Plot], Figure]
    about: str
    goals: str = "one"
    has_params: bool = False


def figure(
    view: SweepView, kind: str, params: Sequence[str] | None = None, metric: str | None = None
) -> Figure:
    """Draw a plot of a sweep.

    Args:
        view: the sweep.
        kind: one of `KINDS`, or a short name of `ALIASES`.
        params: the parameters that it shows, for plots of parameters. By default all, or the most important.
        metric: which of several goals it shows; the first by default.

    Raises:
        InputError: there is no such plot, or it does not fit the sweep.
        NothingToPlot: the sweep does not have enough trials for it.
        SweepError: Plotly is not installed.
    """
    require("plotly", f"the plot {kind}")
    name = find_kind(kind)
    found = KINDS[name]
    if params is not None and not found.has_params:
        raise InputError(f"--params: {name} does not show chosen parameters; leave it out")
    plot = Plot(view, name, _goals(view, name, metric), params)
    if len(view.spec.goals) > 1 and metric is None and found.goals == "one":
        others = " or ".join(goal.name for goal in view.spec.goals[1:])
        plot.notes.append(label(f"{view.spec.goals[0].name}; choose {others} with --metric"))
    if not view.frozen_trials:
        raise NothingToPlot(f"{name}: {view.spec.name} has no trial yet")
    with quiet_optuna, warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            drawn = found.draw(plot)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise NothingToPlot(f"{name}: cannot be drawn from these trials: {reason}") from None
    if not drawn.data:
        raise NothingToPlot(f"{name}: {view.spec.name} does not have enough trials for it yet")
    title = f"{drawn.layout.title.text} · {label(view.spec.name)}"
    note = "; ".join(plot.notes)
    drawn.update_layout(title_text=f"{title}<br><sup>{note}</sup>" if note else title)
    return drawn


def find_kind(kind: str) -> str:
    """The name of a kind of plot, which can also be given with underscores, or as in Optuna: `plot_slice`.

    Raises:
        InputError: there is no such plot.
    """
    name = kind.removeprefix("plot_").replace("_", "-")
    name = ALIASES.get(name, name)
    if name not in KINDS:
        raise InputError(f"{kind}: is not a kind of plot; {suggestion(name, [*KINDS, *ALIASES])}")
    return name


def _goals(view: SweepView, kind: str, metric: str | None) -> list[int]:
    """The indices of the goals that a plot shows."""
    names, how_many = [goal.name for goal in view.spec.goals], KINDS[kind].goals
    if how_many == "several" and len(names) == 1:
        raise InputError(
            f"{kind}: shows several goals, and {view.spec.name} has one, {names[0]}; use optimization-history"
        )
    if metric is None:
        if kind == "pareto-front" and len(names) > 3:
            raise InputError(
                f"{kind}: shows two or three goals, and {view.spec.name} has {len(names)}; "
                f"choose some of them with --metric {','.join(names[:2])}"
            )
        return [0] if how_many == "one" else list(range(len(names)))
    if how_many == "none":
        raise InputError(f"--metric: {kind} does not show a chosen metric; leave it out")
    chosen = [metric] if metric in names else [name.strip() for name in metric.split(",")]
    for name in chosen:
        if name not in names:
            raise InputError(f"--metric: {name}: is not a metric with a goal; {suggestion(name, names)}")
    if how_many == "one" and len(chosen) > 1:
        raise InputError(f"--metric: {kind} shows one metric; choose one of {', '.join(chosen)}")
    if how_many == "several" and len(chosen) not in (2, 3):
        raise InputError(f"--metric: {kind} shows two or three metrics; choose from {', '.join(names)}")
    return [names.index(name) for name in dict.fromkeys(chosen)]


KINDS: Mapping[str, Kind] = {
    "optimization-history": Kind(optuna_plots.history, "the value of each trial, and the best so far"),
    "curves": Kind(own_plots.curves, "learning curves, the best trial marked", goals="none"),
    "intermediate-values": Kind(
        optuna_plots.intermediate_values, "learning curves, as Optuna draws them", goals="none"
    ),
    "parallel-coordinate": Kind(
        optuna_plots.parallel_coordinate,
        "a line through its parameters for each trial",
        goals="all",
        has_params=True,
    ),
    "slice": Kind(optuna_plots.slices, "the value over each parameter", has_params=True),
    "contour": Kind(optuna_plots.contour, "the value over pairs of parameters", has_params=True),
    "rank": Kind(optuna_plots.rank, "the rank of each trial over pairs of parameters", has_params=True),
    "param-importances": Kind(
        optuna_plots.importances, "how much each parameter matters", goals="all", has_params=True
    ),
    "edf": Kind(optuna_plots.edf, "the share of trials up to each value"),
    "pareto-front": Kind(optuna_plots.pareto_front, "several goals against each other", goals="several"),
    "hypervolume-history": Kind(
        optuna_plots.hypervolume_history, "how the Pareto front grew", goals="several"
    ),
    "terminator-improvement": Kind(optuna_plots.terminator_improvement, "how much is still to be gained"),
    "timeline": Kind(optuna_plots.timeline, "when each trial ran", goals="none"),
    "slots": Kind(own_plots.slots, "what each slot did", goals="none"),
}
"""The plots by their names: those of Optuna's functions, `curves` and `slots`."""
ALIASES: Mapping[str, str] = {"history": "optimization-history", "importances": "param-importances"}
