"""The learning curves of a sweep as JSON, thinned to what a plot can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweep.rendering.columns import as_json

_MAX_POINTS = 120_000
"""Points of all curves together: about 1 MB, and as much as a page can draw quickly."""

Curve = Sequence[tuple[int, float]]


def curve_data(curves: Mapping[int, Curve]) -> dict[str, Any]:
    """The curves by columns: the trials, the index of each one's list of steps, and their values.

    Most trials report at the same steps. A curve whose steps are the first of a list uses that list.
    """
    total = sum(map(len, curves.values()))
    most = max(2, _MAX_POINTS // len(curves)) if total > _MAX_POINTS else total
    lists: list[list[int]] = []
    known: dict[int, int] = {}
    indexes, values = {}, {}
    for number, curve in sorted(curves.items(), key=lambda item: -len(item[1])):
        points = _thin(curve, most)
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


def _thin(curve: Curve, most: int) -> Curve:
    """At most `most` points of a curve, evenly spaced, with the first and the last."""
    if len(curve) <= most:
        return curve
    return [curve[round(index * (len(curve) - 1) / (most - 1))] for index in range(most)]
