"""The numbers behind the plots of a report, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.analysis.best_so_far import best_so_far, slot_seconds_at
from sweep.analysis.curves import learning_curves
from sweep.analysis.timeline import Span, timeline
from sweep.analysis.view import SweepView, TrialRow
from sweep.rendering.columns import as_json, trial_columns
from sweep.rendering.curves import curve_data


def sweep_data(view: SweepView, rows: Sequence[TrialRow]) -> dict[str, Any]:
    """All that the page's script draws for one sweep."""
    spans = timeline(view)
    return {
        "name": view.spec.name,
        "goals": [{"name": goal.name, "goal": goal.goal} for goal in view.spec.goals],
        "best": [trial.number for trial in view.front],
        "columns": trial_columns(view, rows),
        "curves": {"metric": view.spec.pruning_metric.name, **curve_data(learning_curves(view))},
        "progress": _progress(view, spans),
        "timeline": _timeline(spans),
        "repeats": {
            "labels": list(view.spec.run_labels),
            "values": [
                [row.number, [as_json(value) for value in row.repeats]] for row in rows if row.repeats
            ],
        },
    }


def _progress(view: SweepView, spans: Sequence[Span]) -> list[dict[str, Any]]:
    """The best value of each goal over slot hours."""
    used = slot_seconds_at(spans)
    end = _hours(used(max((span.end for span in spans), default=0.0)))
    return [
        {
            "metric": name,
            "trials": [step.number for step in steps],
            "hours": [_hours(used(step.moment)) for step in steps],
            "values": [as_json(step.value) for step in steps],
            "end": end,
        }
        for name, steps in best_so_far(view).items()
    ]


def _timeline(spans: Sequence[Span]) -> dict[str, Any]:
    """The attempts by columns; times in hours since the first."""
    begin = min((span.start for span in spans), default=0.0)
    return {
        "begin": begin,
        "trials": [span.number for span in spans],
        "labels": [span.label for span in spans] if any(span.label for span in spans) else None,
        "lanes": [span.lane for span in spans],
        "starts": [_hours(span.start - begin) for span in spans],
        "ends": [_hours(span.end - begin) for span in spans],
        "states": [span.state for span in spans],
    }


def _hours(seconds: float) -> float:
    """Seconds as hours, to a tenth of a second."""
    return round(seconds / 3600, 5)
