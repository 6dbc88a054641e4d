"""The root run of a sweep in TensorBoard: leaderboard, explanation, best value so far, and charts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sweep.analysis import formatting as text
from sweep.analysis.best_so_far import Improvement, best_so_far
from sweep.analysis.leaderboard import leaders
from sweep.analysis.view import SweepView
from sweep.tracking.events import event_files
from sweep.tracking.markdown import escape, paragraph, table
from sweep.tracking.root import update_root
from sweep.tracking.run_logger import best_tag
from sweep.tracking.texts import layout

if TYPE_CHECKING:
    from sweep.analysis.explanation import Explanation

_ROWS = 20


def write_root_run(view: SweepView, explanation: Explanation | None) -> None:
    """Bring the root run up to date. The caller is its only writer; a disk that cannot be written is ignored.

    Args:
        view: the sweep.
        explanation: its results; None leaves that text as it is.
    """
    if not view.spec.is_define_by_run and not event_files(view.directory.root):
        return  # the controller has not declared the columns, which the first file has to contain
    goals = [goal.name for goal in view.spec.goals]
    charts = {
        "Objective": {
            **{name: [name] for name in goals},
            **{f"{name}: best so far": [best_so_far_tag(name)] for name in goals},
            f"{goals[0]}: best of each trial so far": [best_tag(goals[0])],
        }
    }
    texts = {"leaderboard": leaderboard(view)}
    if explanation is not None:
        texts["explain"] = explanation_text(view, explanation)
    curves = {
        best_so_far_tag(name): _curve(steps, view.finished_trials)
        for name, steps in best_so_far(view).items()
    }
    with suppress(OSError):
        update_root(view.directory.root, layout(charts), texts, curves, view.finished_trials)


def _curve(steps: Sequence[Improvement], finished: int) -> list[tuple[int, float]]:
    """The best value by the number of finished trials: where it has changed, and now."""
    points = [(step.finished, step.value) for step in steps]
    return [*points, (finished, points[-1][1])] if points and points[-1][0] < finished else points


def best_so_far_tag(metric: str) -> str:
    """The tag of the best value of all trials so far; its step is the number of finished trials."""
    return f"best_so_far/{metric}"


def leaderboard(view: SweepView) -> str:
    """The best trials as a table in Markdown."""
    best = leaders(view, _ROWS)
    finished = f"after {text.plural(view.finished_trials, 'finished trial')}"
    if not best:
        return f"### {escape(view.spec.name)}\n\n{paragraph(view.why_no_best)}, {finished}."
    goals = view.spec.goals
    what = view.spec.goals_text + (", Pareto front" if len(goals) > 1 else "")
    params = {trial.number: view.params(trial) for trial in best}
    shown = [name for name in view.varied if any(name in values for values in params.values())]
    rows = [
        [
            trial.number,
            *map(text.number, trial.values),
            *(_parameter(params[trial.number].get(name, "")) for name in shown),
        ]
        for trial in best
    ]
    return "\n\n".join(
        [
            f"### {escape(view.spec.name)}: {escape(what)}, {finished}",
            table(["trial", *(goal.name for goal in goals), *shown], rows),
        ]
    )


def _parameter(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def explanation_text(view: SweepView, explanation: Explanation) -> str:
    """The sentences of an explanation with their evidence in Markdown."""
    finished = f"after {text.plural(view.finished_trials, 'finished trial')}"
    parts = [f"### Results of {escape(view.spec.name)}, {finished}"]
    for topic, statements in explanation.by_topic():
        lines = [
            f"* {paragraph(statement.text)}"
            + (f" *({escape(statement.evidence)})*" if statement.evidence else "")
            for statement in statements
        ]
        parts += [f"#### {topic.capitalize()}", "\n".join(lines)]
    return "\n\n".join(parts)
