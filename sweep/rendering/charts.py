"""The numbers behind the plots of a report, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.analysis.best_so_far import best_so_far, slot_seconds_at
from sweep.analysis.curves import learning_curves
from sweep.analysis.timeline import Span, timeline
from sweep.analysis.view import SweepView, TrialRow
from sweep.rendering.columns import as_json, trial_columns
from sweep.rendering.plot_data import fewer_points

_MAX_POINTS = 120_000
"""Points of all curves together: about 1 MB, and as much as a page can draw quickly."""


def sweep_data(view: SweepView, rows: Sequence[TrialRow]) -> dict[str, Any]:
    """All that the page's script draws for one sweep."""
    spans = timeline(view)
    return {
        "name": view.spec.name,
        "goals": [{"name": goal.name, "goal": goal.goal} for goal in view.spec.goals],
        "best": [trial.number for trial in view.front],
        "columns": trial_columns(view, rows),
        "curves": {"metric": view.spec.pruning_metric.name, **_curves(learning_curves(view))},
        "progress": _progress(view, spans),
        "timeline": _timeline(spans),
        "repeats": {
            "labels": list(view.spec.run_labels),
            "values": [
                [row.number, [as_json(value) for value in row.repeats]] for row in rows if row.repeats
            ],
        },
    }


def _curves(curves: Mapping[int, Sequence[tuple[int, float]]]) -> dict[str, Any]:
    """The learning curves by columns: the trials, the index of each one's list of steps, and their values.

    Most trials report at the same steps. A curve whose steps are the first of a list uses that list.
    """
    total = sum(map(len, curves.values()))
    most = max(2, _MAX_POINTS // len(curves)) if total > _MAX_POINTS else total
    lists: list[list[int]] = []
    known: dict[int, int] = {}
    indexes, values = {}, {}
    for number, curve in sorted(curves.items(), key=lambda item: -len(item[1])):
        points = fewer_points(curve, most)
        steps = [step for step, _ in points]
        index = known.setdefault(steps[0] if steps else 0, len(lists))
        if index == len(lists):
            lists.append(steps)
        elif lists[index][: len(steps)] != steps:
            index = len(lists)
            lists.append(steps)
        indexes[number] = index
        values[number] = [as_json(value, 6) for _, value in points]
    numbers = sorted(curves)
    return {
        "trials": numbers,
        "steps": lists,
        "list": [indexes[number] for number in numbers],
        "values": [values[number] for number in numbers],
        "thinned": total > _MAX_POINTS,
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
