"""`sweep stop`: stop a running sweep, or one of its trials."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from sweep.cli.completion import complete_trial
from sweep.cli.options import Runs, SweepName
from sweep.system.directory import RUNS


def stop(
    name: SweepName,
    trial: Annotated[
        int | None, Option(metavar="N", autocompletion=complete_trial, help="Stop only this trial.")
    ] = None,
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
    from sweep import operations
    from sweep.analysis.resuming import stored_caller
    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    if trial is not None:
        state = operations.stop_trial(view, trial)
        if state == "RUNNING":
            print(
                f"trial {trial} is being stopped; its state will be recorded when the sweep has time for it"
            )
        else:
            print(f"trial {trial} is stopped: {state}")
        return
    message = (
        f"stopping {view.spec.name}: running trials have some time to reach a checkpoint; "
        "a second `sweep stop` terminates them at once ..."
    )
    if operations.stop(view, on_sent=lambda: print(message, flush=True)):
        print(f"stopped. Resume with: {stored_caller(view.directory).again()}")
    else:
        print(f"{view.spec.name} terminated before it took the request; see `sweep status {name}`")
