"""What TensorBoard shows of a finished trial beside its curves: a text, its time, its spread over repeats."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweep.controller.runs import LiveRun, repeat_values, trial_seconds
from sweep.study import attributes
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.tracking.markdown import escape, table
from sweep.tracking.numbers import HOURS

TAG = "trial"
"""The tag of the text in the run of a trial."""
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def spread_tag(metric: str) -> str:
    """The tag of the standard deviation of a metric over the repeats of a trial."""
    return f"spread/{metric}"


def added_tags(spec: SweepSpec) -> list[str]:
    """The tags of `added_metrics`."""
    return [HOURS, *([spread_tag(spec.metric.name)] if spec.repeats is not None else [])]


def added_metrics(spec: SweepSpec, run: LiveRun, trial: FrozenTrial | None) -> dict[str, float]:
    """Numbers about a finished run that it has not logged itself, by their tags.

    Args:
        spec: the sweep.
        run: the run.
        trial: the finished trial, for one of its runs; None for the others. The spread is one number, and
            TensorBoard shows the mean over those runs that have it.
    """
    seconds = trial_seconds(trial) if trial is not None and not run.label else run.duration_s
    metrics = {HOURS: (seconds or 0.0) / 3600}
    if trial is not None:
        values = [value for value in repeat_values(trial.user_attrs, spec.repeats) if value is not None]
        if len(values) > 1 and all(map(math.isfinite, values)):
            metrics[spread_tag(spec.metric.name)] = statistics.stdev(values)
    return metrics


def trial_text(
    spec: SweepSpec,
    directory: SweepDirectory,
    run: LiveRun,
    params: Mapping[str, Any],
    trial: FrozenTrial | None,
    facts: Mapping[str, str],
) -> str:
    """The text in the run of a trial or of one of its repeats, in Markdown.

    Args:
        spec: the sweep.
        directory: its directory.
        run: the run.
        params: all parameters of the trial.
        trial: the finished trial; None if other repeats of it have not finished.
        facts: more facts about the run, for display.
    """
    again = ["sweep", "debug", str(directory.root), "--trial", str(run.number)]
    if run.label:
        again += ["--repeat", run.label]
    (title, outcome), *rows = _outcome(spec, trial)
    rows += [
        *_repeat(spec, run, trial),
        ("started", datetime.fromtimestamp(run.session.started).astimezone().isoformat(timespec="seconds")),
        ("attempts", run.attempt),
        *facts.items(),
        ("seed", run.seed),
        ("run it again", shlex.join(again)),
    ]
    repeat = f", repeat {run.label}," if run.label else ""
    return "\n\n".join(
        [
            f"### Trial {run.number}{escape(repeat)} of {escape(spec.name)}",
            table([title, outcome], rows),
            table(["parameter", "value"], params.items()) if params else "It has no parameters.",
        ]
    )


def _outcome(spec: SweepSpec, trial: FrozenTrial | None) -> list[tuple[str, Any]]:
    if trial is None:
        return [("outcome", "this repeat has finished, others of the trial have not")]
    reason = trial.user_attrs.get(attributes.REASON)
    seconds = trial_seconds(trial)
    return [
        ("outcome", _STATES[trial.state] + (f": {reason}" if reason else "")),
        *((goal.name, value) for goal, value in zip(spec.goals, trial.values or (), strict=False)),
        *([] if seconds is None else [("duration", f"{seconds:.3f} s")]),
    ]


def _repeat(spec: SweepSpec, run: LiveRun, trial: FrozenTrial | None) -> list[tuple[str, Any]]:
    if not run.label:
        return []
    rows: list[tuple[str, Any]] = [(f"{spec.metric.name} of this repeat", run.value)]
    if trial is not None:
        values = repeat_values(trial.user_attrs, spec.repeats)
        rows.append((f"{spec.metric.name} of all repeats", ", ".join(map(str, values))))
    return rows
