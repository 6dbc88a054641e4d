"""What `sweep run` says at its end: what was found, where it is, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from sweep.analysis import formatting as text
from sweep.analysis.failures import most_frequent
from sweep.analysis.view import SweepView
from sweep.launch import Launch
from sweep.system.directory import RUNS


def exit_status(launched: Launch) -> int:
    """0: a stop rule is reached and a trial is complete; 1: none is; 128 + n: ended by signal n."""
    if launched.signal is not None:
        return 128 + launched.signal
    return 0 if SweepView(launched.directory).counts["complete"] else 1


def summarise(launched: Launch, runs: Path, metric_place: str | None = None) -> None:
    """Print the end of a run.

    Args:
        launched: what became of it.
        runs: the folder in which the sweep's directory lies.
        metric_place: where the metric's name stands, if that is in a file.
    """
    view = SweepView(launched.directory)
    name = _path_or_name(launched.directory.root, runs)
    counts = text.counts(view.counts)
    if launched.progress is None:
        print(f"{view.spec.name} is finished: {counts}{_why(view)}.")
        more = {
            "failures": "For more trials say --set stop.failures=..., for",
            "plateau": "For more trials say --set stop.plateau=..., for",
            "trials": f"For more trials say -n {2 * view.finished_trials}, for",
            "target": "For more trials say --set stop.target=..., for",
            "hours": "For more trials say --set stop.hours=..., for",
            "time": "For more trials say --set stop.time=..., for",
        }
        print(f"{more.get(view.stopped_by or '', 'For')} a new sweep --fresh or --name.")
    elif launched.signal is not None:
        print(f"interrupted after {text.duration(view.elapsed)}: {counts}. The same command goes on.")
    else:
        trials = text.plural(view.finished_trials, "trial")
        print(f"{trials} in {text.duration(view.elapsed)}: {counts}{_why(view)}.")
        if _is_metric_missing(launched) and view.stopped_by is None:
            print("It ended early: without the metric every trial would fail.")
    best = view.best
    if best is not None and len(view.spec.goals) > 1:
        print("best, each in its way:")
        for trial in view.front:
            print(f"  trial {trial.number}: {text.parameters(view.values(trial))}")
    elif best is not None:
        print(f"best: trial {best.number}, {view.spec.metric.name} = {text.number(best.values[0])}")
        for parameter, value in view.params(best).items():
            print(f"  {parameter}: {text.parameter(value)}")
    if best is None and view.counts["complete"]:
        print("no complete trial keeps within the limits on the metrics")
    place = f" ({metric_place})" if metric_place is not None else ""
    _explain_failures(
        view,
        f"correct metric{place}, or what the script reports, and give the same command again"
        if _is_metric_missing(launched)
        else f"`sweep retry {name} --failed` runs them again",
    )
    print()
    commands = {
        f"sweep tensorboard {name}": "compare the runs in the HParams tab",
        f"sweep trials {name}": "all trials as a table",
    }
    if best is not None:
        commands[f"sweep best {name}"] = "these parameters, ready to use"
    width = max(map(len, commands))
    for command, purpose in commands.items():
        print(f"  {command:{width}}   {purpose}")
    print(f"  {_shorten(launched.directory.root)}/")


def _path_or_name(directory: Path, runs: Path) -> str:
    """How the next command names the sweep."""
    return directory.name if runs == RUNS else shlex.quote(str(runs / directory.name))


def _why(view: SweepView) -> str:
    reasons = {
        "failures": "; too many failed",
        "plateau": "; nothing better came for a while",
        "target": "; the target is reached",
        "hours": "; the time is up",
        "time": "; the time is up",
        "grid": ", the whole grid",
    }
    return reasons.get(view.stopped_by or "", "")


def _is_metric_missing(launched: Launch) -> bool:
    return launched.progress is not None and launched.progress.stopped_by == "metric"


def _explain_failures(view: SweepView, advice: str) -> None:
    reason = most_frequent(view.rows())
    if reason is None:
        return
    print(reason)
    print(f"  {_shorten(view.error_file(reason.first))}; {advice}")


def _shorten(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
