"""`sweep stop`: stop a running sweep, or one of its trials."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from sweep.cli.options import Runs, SweepName
from sweep.system.directory import RUNS


def stop(
    name: SweepName,
    trial: Annotated[int | None, Option(metavar="N", help="Stop only this trial.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Stop a running sweep as Ctrl-C does, or one of its trials, from another terminal.

    Running trials have the time given by `sweep run --grace` to reach a checkpoint; a second `sweep stop`
    terminates them at once. `sweep run` resumes the sweep. A single trial is stopped at once and counts as
    pruned.

    \b
    Examples:
      sweep stop digits-cnn
      sweep stop digits-cnn --trial 7
    """
    from sweep.analysis.resuming import stored_caller
    from sweep.analysis.view import SweepView
    from sweep.operations import request_stop, stop_trial, wait_until_stopped

    view = SweepView.open(name, runs)
    if trial is not None:
        print(f"trial {trial} is stopped: {stop_trial(view, trial)}")
        return
    run_id = request_stop(view)
    print(
        f"stopping {view.spec.name}: running trials have some time to reach a checkpoint; "
        "a second `sweep stop` terminates them at once ...",
        flush=True,
    )
    wait_until_stopped(view, run_id)
    print(f"stopped. Resume with: {stored_caller(view.directory).again()}")
