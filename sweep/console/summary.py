"""The summary that `sweep run` prints at the end: results, failures, and the next commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from sweep.analysis import formatting as text
from sweep.analysis.failures import failures_by_reason, most_frequent_failure
from sweep.analysis.resuming import how_to_continue, name_for_commands, stored_caller
from sweep.analysis.view import SweepView
from sweep.caller import CommandLine, caller
from sweep.controller.common_failure import SAMPLE
from sweep.controller.stop_rules import REASONS
from sweep.launch import Launch
from sweep.messages import CommonFailure
from sweep.sweepfile.types import UNLIMITED

if TYPE_CHECKING:
    from sweep.analysis.explanation import Explanation

_MOST_REASONS = 3
"""How many reasons of failures are printed besides the most frequent one."""


def exit_status(launched: Launch) -> int:
    """The exit status of `sweep run`: 0 if a trial has a result, 1 if none has, 128 + n after signal n."""
    if launched.signal is not None:
        return 128 + launched.signal
    counts = launched.view.counts
    return 0 if counts["complete"] + counts["pruned"] else 1


def summarise(launched: Launch, metric_place: str | None = None) -> None:
    """Print the summary of a run.

    Args:
        launched: the outcome of the run.
        metric_place: where the metric's name is set: the sweep file and the line, or an option.
    """
    view = launched.view
    root, name = view.directory.root, name_for_commands(view.directory)
    _print_state(view, launched)
    print_best(view, has_lines=True)
    stopped_by = launched.progress.stopped_by if launched.progress is not None else None
    failure = launched.progress.common_failure if launched.progress is not None else None
    # In Python there is no call for it.
    can_retry = isinstance(caller(), CommandLine) and view.is_worth_resubmitting
    retry = f"sweep retry {name} --failed" if can_retry else ""
    if stopped_by == "same_failure" and failure is not None:
        _print_common_failure(view, failure, retry)
    elif stopped_by == "metric":
        place = f" ({metric_place})" if metric_place is not None else ""
        _print_failures(view, f"; correct metric{place}, or what the script reports")
        _print(f"Then resume with: {caller().again()}")
    else:
        _print_failures(view, f"; `{retry}` runs them again" if retry else "")
    if launched.explanation is not None:
        _print_lessons(launched.explanation)
    _print()
    _print(f"  sweep explain {name}       the results of the sweep, with the evidence")
    _print(f"  sweep report {name}        the same with plots, as one HTML page")
    _print(f"  sweep tensorboard {name}   compare the runs in the HParams tab")
    _print(f"  sweep trials {name}        all trials as a table")
    if view.best is not None:
        _print(f"  sweep best {name}          the best parameters as YAML, JSON or arguments")
    _print(f"  {_relative(root)}/")


_LESSONS = (
    ("sureness", "gain", "front"),
    ("importance", "cannot_tell"),
    (
        "at_bound",
        "failing_choice",
        "failing_range",
        "pruner_eager",
        "pruner_idle",
        "unpredictable",
        "noisy",
        "no_effect",
        "idle",
    ),
    ("saved",),
    ("early_steps",),
    ("cost",),
    ("next",),
)
"""The keys of the statements that are printed after a run: of each group the first one that there is, until
there are three. How many trials failed, and why, is printed anyway.
"""


def _print_lessons(explanation: Explanation) -> None:
    """Print the three most useful sentences."""
    groups = _LESSONS if isinstance(caller(), CommandLine) else _LESSONS[:-1]  # the next one is a command
    lessons = [lesson for keys in groups for lesson in explanation.of(*keys)[:1]][:3]
    if lessons:
        _print()
    for lesson in lessons:
        _print(lesson.text)


def _print_state(view: SweepView, launched: Launch) -> None:
    counts, rule = text.counts(view.counts), view.stopped_by
    reason = "" if rule is None else REASONS[rule]
    elapsed = text.duration(view.elapsed)
    if launched.progress is None:
        _print(f"{view.spec.name} is finished: {counts}{reason}.")
        for what, how in how_to_continue(view).items():
            _print(f"For {what}: {how}")
    elif launched.signal is not None:
        _print(f"interrupted after {elapsed}: {counts if view.frozen_trials else 'no trial had started'}.")
        _print(f"Resume with: {caller().again()}")
    else:
        trials = text.plural(view.finished_trials, "trial")
        _print(f"{trials} in {elapsed}: {counts}{reason}.")
        if launched.progress.stopped_by == "metric" and not rule:
            _print("Stopped early: no trial can succeed without the metric.")


def print_status(view: SweepView) -> None:
    """Print the status of a sweep."""
    of = "" if view.total is None else f" of {view.total}"
    _print(
        f"{view.spec.name}: {view.state}, {view.finished_trials}{of} trials in {text.duration(view.elapsed)}"
    )
    _print(f"trials: {text.counts(view.counts)}")
    print_best(view)
    if view.usage.utilisation is not None:
        _print(f"slots busy: {view.usage.utilisation:.0%}")
    _print(f"directory: {view.directory.root}")
    if view.state == "interrupted":
        _print(f"resume with: {stored_caller(view.directory).again()}")


def print_best(view: SweepView, has_lines: bool = False) -> None:
    """Print the best trial, or the Pareto front.

    Args:
        view: the sweep.
        has_lines: print each parameter on a separate line.
    """
    if view.best is None:
        if view.counts["complete"] or view.counts["pruned"]:
            _print(view.why_no_best)
    elif len(view.spec.goals) > 1:
        _print("best trials (Pareto front):")
        for trial in view.front:
            _print(f"  trial {trial.number}: {text.parameters(view.values(trial))}")
    else:
        params = view.params(view.best)
        value = text.number(view.best.values[0])
        _print(f"best: trial {view.best.number}, {view.spec.metric.name} = {value}")
        lines = [f"{key}: {text.parameter(value)}" for key, value in params.items()]
        for line in lines if has_lines else [text.parameters(params)]:
            _print(f"  {line}")


def _print_common_failure(view: SweepView, failure: CommonFailure, retry: str) -> None:
    _print(f"Stopped early: the first {SAMPLE} trials failed for the same reason. The first message is:")
    _print(f"  {failure.reason}")
    _print(f"  {_relative(view.error_file(failure.trial))}")
    _print(f"Correct the cause, then resume with: {caller().again()}")
    if retry:
        _print(f"To run the failed trials again as well, first: {retry}")
    _print(f"To continue in spite of it: {caller().again(**{'stop.failures': UNLIMITED})}")


def _print_failures(view: SweepView, advice: str) -> None:
    failed = view.rows(TrialState.FAIL)
    reason = most_frequent_failure(failed)
    if reason is None:
        return
    _print(reason.summary)
    _print(f"  {_relative(view.error_file(reason.trial))}{advice}")
    _, *others = failures_by_reason(failed)
    for group in others[:_MOST_REASONS]:
        _print(f"  {len(group.trials)} with: {group.reason}")
    if rest := sum(len(group.trials) for group in others[_MOST_REASONS:]):
        _print(f"  {rest} with other reasons: sweep trials {name_for_commands(view.directory)}")


def _print(line: str = "") -> None:
    """Print a line, which can contain texts from the user."""
    print(text.printable(line))


def _relative(path: Path) -> Path:
    """The path relative to the current directory if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
