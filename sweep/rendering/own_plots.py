"""Plots that Optuna does not have: the learning curves with the best one marked, and the slots over time."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.analysis import formatting as text
from sweep.rendering.plot_data import Plot, fewer_points, reported_trials
from sweep.rendering.plot_study import label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MAX_BORDERS, _MAX_TICKS = 500, 32
_STATE_COLORS = {
    "COMPLETE": "#2ca02c",
    "PRUNED": "#ff7f0e",
    "FAIL": "#d62728",
    "RETRIED": "#9467bd",
    "RUNNING": "#1f77b4",
    "WAITING": "#7f7f7f",
}


def curves(plot: Plot) -> Figure:
    """Learning curves, coloured by their last value."""
    from plotly.colors import sample_colorscale
    from plotly.graph_objects import Figure, Scatter

    from sweep.analysis.curves import learning_curves

    view = plot.view
    curves = learning_curves(view)
    kept = reported_trials(plot, curves)
    if view.spec.repeats is not None:
        plot.notes.append("the first repeat of each trial")
    metric = view.spec.pruning_metric
    ranked = sorted(kept, key=lambda trial: _last(curves[trial.number], metric.goal))
    shades = [index / max(len(ranked) - 1, 1) for index in range(len(ranked))]
    colors = dict(zip((trial.number for trial in ranked), sample_colorscale("Viridis", shades), strict=True))
    best = {trial.number for trial in view.front}
    drawn = Figure(layout={"title": "Learning curves", "hovermode": "closest"})
    for trial in sorted(kept, key=lambda trial: trial.number in best):
        steps, values = zip(*fewer_points(curves[trial.number]), strict=True)
        is_best, state = trial.number in best, view.state_of(view.frozen_trials[trial.number])
        drawn.add_trace(
            Scatter(
                x=steps,
                y=values,
                mode="lines" if len(steps) > 1 else "markers",
                name=f"trial {trial.number}" + ", the best" * is_best,
                line={
                    "color": "#d62728" if is_best else colors[trial.number],
                    "width": 3 if is_best else 1,
                    "dash": "solid" if state in ("COMPLETE", "RUNNING") else "dot",
                },
                showlegend=is_best,
                hovertemplate=f"trial {trial.number}, {state}<br>step %{{x}}: %{{y}}<extra></extra>",
            )
        )
    return drawn.update_layout(xaxis_title="step", yaxis_title=label(metric.name))


def slots(plot: Plot) -> Figure:
    """What each slot did."""
    from plotly.graph_objects import Bar, Figure

    from sweep.analysis.timeline import timeline

    spans = timeline(plot.view)
    has_borders = len(spans) < _MAX_BORDERS  # thousands would hide what they are around
    lanes = {span.lane for span in spans}
    drawn = Figure(layout={"title": "Slots", "barmode": "overlay", "xaxis": {"type": "date"}})
    for state, color in _STATE_COLORS.items():
        chosen = [span for span in spans if span.state == state]
        if not chosen:
            continue
        drawn.add_trace(
            Bar(
                name=state.lower(),
                orientation="h",
                base=[datetime.datetime.fromtimestamp(span.start).isoformat() for span in chosen],
                x=[span.seconds * 1000 for span in chosen],
                y=[span.lane for span in chosen],
                text=[
                    f"trial {text.run(span.number, span.label)}: {text.duration(span.seconds)}"
                    for span in chosen
                ],
                hovertemplate=f"%{{text}}<extra>{state.lower()}</extra>",
                textposition="none",
                marker={"color": color, "line": {"width": 0.5 * has_borders, "color": "white"}},
            )
        )
    yaxis = {"title": "slot", **({"dtick": 1} if len(lanes) <= _MAX_TICKS else {})}
    return drawn.update_layout(showlegend=True, yaxis=yaxis, xaxis_title="time")


def _last(curve: Sequence[tuple[int, float]], goal: str) -> float:
    """The last value as a loss; infinite if it is NaN."""
    value = curve[-1][1]
    return math.inf if math.isnan(value) else value if goal == "minimize" else -value
