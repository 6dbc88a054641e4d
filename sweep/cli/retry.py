"""`sweep retry`: resubmit failed trials as new trials."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from sweep.cli.completion import complete_trial
from sweep.cli.options import Runs, SweepName
from sweep.errors import InputError
from sweep.system.directory import RUNS


def retry(
    name: SweepName,
    numbers: Annotated[
        list[int] | None,
        Argument(metavar="[N]...", autocompletion=complete_trial, help="Numbers of failed trials."),
    ] = None,
    failed: Annotated[bool, Option("--failed", help="All failed trials.")] = False,
    runs: Runs = RUNS,
) -> None:
    """Run failed trials again, as new trials with the same parameters.

    If the sweep is not running, resume it with `sweep run` afterwards. The failed trials are kept;
    `sweep trials --format json` links the new trials to them (retry_of). New trials are added to the
    sweep's number of trials. They start from the beginning, with a new seed.

    \b
    Examples:
      sweep retry digits-cnn --failed
      sweep retry digits-cnn 3 17
    """
    from sweep.analysis.resuming import stored_caller
    from sweep.analysis.view import SweepView
    from sweep.operations import QUEUED, resubmit, trials_to_resubmit

    if failed == bool(numbers):
        raise InputError("which trials? give their numbers, or --failed for all failed trials")
    view = SweepView.open(name, runs)
    chosen = trials_to_resubmit(view, None if failed else numbers)
    successors, is_running = resubmit(view, chosen)
    if not successors.keys() >= set(chosen):
        print(QUEUED)
        return
    when = "now" if is_running else "when the sweep resumes"
    for number in chosen:
        print(f"trial {number} runs again as trial {successors[number]}, {when}")
    if not is_running:
        print(f"resume with: {stored_caller(view.directory).again()}")
