"""The learning curves of a sweep: that of the metric from its study, all others from its event files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from optuna.trial import FrozenTrial

from sweep.analysis.view import SweepView
from sweep.controller.reports import compares_results
from sweep.controller.runs import attempts, repeat_values
from sweep.controller.trial_text import spread_tag
from sweep.study import attributes
from sweep.tracking.numbers import HOURS, as_stored
from sweep.tracking.read import Point, read_points, read_scalars
from sweep.tracking.run_logger import best_tag, reported_tag


class CurvePoint(NamedTuple):
    """A value that a trial has logged.

    Args:
        trial: the trial's number.
        repeat: the name of its repeat (`seed-0`); None in a sweep without repeats.
        metric: the name under which it was logged.
        step: its step.
        value: the value: exact where the study has it, otherwise in single precision, as in TensorBoard.
        time: when it was logged, in seconds since the epoch; None if only the study has the value.
    """

    trial: int
    repeat: str | None
    metric: str
    step: int
    value: float
    time: float | None


def learning_curves(view: SweepView) -> dict[int, list[tuple[int, float]]]:
    """The reported values of the metric by trial, ordered by step; with repeats, those of the first one.

    With several goals, the metric is the one by which trials are pruned. The values come from the study.
    Event files are read only for trials whose attempts the study mixes, and if the pruner compares the
    results of repeats. Trials that have reported nothing are left out.
    """
    curves = {trial.number: _learning_curve(view, trial) for trial in view.frozen_trials}
    return {number: curve for number, curve in curves.items() if curve}


def _learning_curve(view: SweepView, trial: FrozenTrial) -> list[tuple[int, float]]:
    label, metric = view.spec.run_labels[0], view.spec.pruning_metric.name
    reports, has_results = trial.intermediate_values, compares_results(view.spec)
    if not has_results and attempts(trial.user_attrs, label) <= 1:
        return sorted(reports.items())
    logged = read_scalars(view.directory.trial(trial.number, label).root)
    curve = logged.get(reported_tag(metric)) or logged.get(metric)
    if curve is None:  # for example, because somebody has removed the files
        return [] if has_results else sorted(reports.items())
    return [
        (step, _exact(value, [reports.get(step)]))
        for step, value in sorted(curve.items())
        if has_results or step in reports  # the value that it returned is not one of them
    ]


def curve_points(view: SweepView) -> Iterator[CurvePoint]:
    """All logged values, ordered by trial, repeat, metric and step. Reads the event files of each run.

    What the sweep adds to these files is left out: the best value so far, the trial's hours, its spread.
    """
    for trial in view.frozen_trials:
        for repeat in range(len(view.spec.run_labels)):
            yield from _points(view, trial, repeat)


def _points(view: SweepView, trial: FrozenTrial, repeat: int) -> Iterator[CurvePoint]:
    label, metric = view.spec.run_labels[repeat], view.spec.pruning_metric.name
    has_reports = repeat == 0 and not compares_results(view.spec)
    reports = trial.intermediate_values if has_reports else {}
    curves = read_points(view.directory.trial(trial.number, label).root)
    goal = view.spec.metric.name
    for added in (best_tag(goal), HOURS, spread_tag(goal)):
        curves.pop(added, None)
    if not curves and reports:  # for example, because somebody has removed the files
        curves[metric] = {step: Point(value, None) for step, value in reports.items()}
    results = _results(view, trial, repeat)
    for tag, points in sorted(curves.items()):
        for step, (value, time) in sorted(points.items()):
            known = [reports.get(step), results.get(tag)] if tag == metric else [results.get(tag)]
            yield CurvePoint(trial.number, label or None, tag, step, _exact(value, known), time)


def _results(view: SweepView, trial: FrozenTrial, repeat: int) -> Mapping[str, float | None]:
    """The last values that the study has of the metrics of a run."""
    if view.spec.repeats is not None:
        return {view.spec.metric.name: repeat_values(trial.user_attrs, view.spec.repeats)[repeat]}
    values = view.values(trial) if trial.values else {}
    return {**trial.user_attrs.get(attributes.METRICS, {}), **values}


def _exact(value: float, known: Iterable[float | None]) -> float:
    """A value as the study has it; event files have single precision."""
    return next((exact for exact in known if exact is not None and as_stored(exact) == value), value)
