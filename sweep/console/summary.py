"""The summary that `sweep run` prints at the end: results, failures, and the next commands."""

from __future__ import annotations

import shlex
from pathlib import Path

from sweep.analysis import formatting as text
from sweep.analysis.failures import most_frequent_failure
from sweep.analysis.view import NO_FEASIBLE_TRIAL, SweepView
from sweep.controller.stop_rules import REASONS
from sweep.launch import Launch
from sweep.sweepfile.model import Stop
from sweep.system.directory import RUNS


def exit_status(launched: Launch) -> int:
    """The exit status of `sweep run`: 0 if a trial is complete, 1 if none is, 128 + n after signal n."""
    if launched.signal is not None:
        return 128 + launched.signal
    return 0 if SweepView(launched.directory).counts["complete"] else 1


def summarise(launched: Launch, runs: Path, resume: str, metric_place: str | None = None) -> None:
    """Print the summary of a run.

    Args:
        launched: the outcome of the run.
        runs: the folder that contains the sweep's directory.
        resume: the command or call that resumes the sweep.
        metric_place: where the metric's name is set: the sweep file and the line, or an option.
    """
    view = SweepView(launched.directory)
    root = launched.directory.root
    name = root.name if runs == RUNS else shlex.quote(str(runs / root.name))
    is_metric_missing = launched.progress is not None and launched.progress.stopped_by == "metric"
    _print_state(view, launched, resume, is_metric_missing)
    print_best(view, has_lines=True)
    place = f" ({metric_place})" if metric_place is not None else ""
    if is_metric_missing:
        advice = f"; correct metric{place}, or what the script reports, and run the same command again"
    else:
        advice = f"; `sweep retry {name} --failed` runs them again" if view.can_resubmit else ""
    _print_failures(view, advice)
    print()
    print(f"  sweep tensorboard {name}   compare the runs in the HParams tab")
    print(f"  sweep trials {name}        all trials as a table")
    if view.best is not None:
        print(f"  sweep best {name}          the best parameters as YAML, JSON or arguments")
    print(f"  {_relative(root)}/")


def _print_state(view: SweepView, launched: Launch, resume: str, is_metric_missing: bool) -> None:
    counts, rule = text.counts(view.counts), view.stopped_by
    reason = "" if rule is None else REASONS[rule]
    elapsed = text.duration(view.elapsed)
    if launched.progress is None:
        print(f"{view.spec.name} is finished: {counts}{reason}.")
        option = f"-n {2 * view.finished_trials}" if rule == "trials" else f"--set stop.{rule}=..."
        more = f"For more trials use {option}; for" if rule in Stop.model_fields else "For"
        print(f"{more} a new sweep use --fresh or --name.")
    elif launched.signal is not None:
        print(f"interrupted after {elapsed}: {counts}.")
        print(f"Resume with: {resume}")
    else:
        trials = text.plural(view.finished_trials, "trial")
        print(f"{trials} in {elapsed}: {counts}{reason}.")
        if is_metric_missing and not rule:
            print("Stopped early: no trial can succeed without the metric.")


def print_status(view: SweepView) -> None:
    """Print the status of a sweep."""
    of = "" if view.total is None else f" of {view.total}"
    print(
        f"{view.spec.name}: {view.state}, {view.finished_trials}{of} trials in {text.duration(view.elapsed)}"
    )
    print(f"trials: {text.counts(view.counts)}")
    print_best(view)
    if view.usage.utilisation is not None:
        print(f"slots busy: {view.usage.utilisation:.0%}")
    print(f"directory: {view.directory.root}")


def print_best(view: SweepView, has_lines: bool = False) -> None:
    """Print the best trial, or the Pareto front.

    Args:
        view: the sweep.
        has_lines: print each parameter on a separate line.
    """
    if view.best is None:
        if view.counts["complete"]:
            print(NO_FEASIBLE_TRIAL)
    elif len(view.spec.goals) > 1:
        print("best trials (Pareto front):")
        for trial in view.front:
            print(f"  trial {trial.number}: {text.parameters(view.values(trial))}")
    else:
        params = view.params(view.best)
        value = text.number(view.best.values[0])
        print(f"best: trial {view.best.number}, {view.spec.metric.name} = {value}")
        lines = [f"{key}: {text.parameter(value)}" for key, value in params.items()]
        for line in lines if has_lines else [text.parameters(params)]:
            print(f"  {line}")


def _print_failures(view: SweepView, advice: str) -> None:
    reason = most_frequent_failure(view.rows())
    if reason is not None:
        print(reason.summary)
        print(f"  {_relative(view.error_file(reason.trial))}{advice}")


def _relative(path: Path) -> Path:
    """The path relative to the current directory if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
