"""`sweep run`: run a sweep, or resume it."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated

from typer import Exit, Option

from sweep.cli.options import File, Name, Runs, Set, overrides
from sweep.system.directory import RUNS

_Trials = Annotated[int | None, Option("--trials", "-n", metavar="N", help="Stop after N trials in total.")]
_Parallel = Annotated[int | None, Option("--parallel", "-p", metavar="N", help="At most N trials at once.")]
_Address = Annotated[
    str | None,
    Option("--address", metavar="ADDR", help="A Ray cluster (auto, HOST:6379), or local to start Ray here."),
]
_Inline = Annotated[
    bool, Option("--inline", help="Run one trial at a time, without Ray; breakpoint() works.")
]
_Fresh = Annotated[bool, Option("--fresh", help="Start again; the old sweep is moved to .old/ in --runs.")]
_Grace = Annotated[
    str, Option("--grace", metavar="TIME", help="Time to reach a checkpoint after Ctrl-C: 90s, 5m, 0.")
]
_Plain = Annotated[bool, Option("--plain", help="Print a line per event instead of the live display.")]
_Quiet = Annotated[bool, Option("--quiet", "-q", help="Print only errors.")]


def run(
    file: File,
    name: Name = None,
    runs: Runs = RUNS,
    trials: _Trials = None,
    parallel: _Parallel = None,
    changes: Set = None,
    address: _Address = None,
    inline: _Inline = False,
    fresh: _Fresh = False,
    grace: _Grace = "30s",
    plain: _Plain = False,
    quiet: _Quiet = False,
) -> None:
    """Run the sweep that FILE describes. The same command resumes it after an interruption.

    As many trials run at once as the machine, or the Ray cluster, has resources for. The cluster is set by
    --address or RAY_ADDRESS; without either, Ray is started on this machine.

    After Ctrl-C (or SIGTERM) no trial is started, and running trials have --grace to reach a checkpoint; a
    second Ctrl-C terminates them at once. Finished trials are kept either way.

    \b
    Examples:
      sweep run space.yaml
      sweep run space.yaml -n 100 -p 4
      sweep run space.yaml --name longer --set parameters.epochs=20
      sweep run space.yaml --address auto       on the Ray cluster of this machine

    Exit status: 0 if at least one trial is complete or pruned; 1 if none is, or after an error; 2 invalid
    input; 130 or 143 interrupted.
    """
    from sweep.sweepfile import read_sweep_file
    from sweep.sweepfile.types import read_delay

    seconds = read_delay(float(grace) if grace.replace(".", "", 1).isdigit() else grace, "--grace")
    sweep_file = read_sweep_file(file, overrides(changes, name, trials, parallel))

    from sweep.console.display import make_display
    from sweep.engine.observer import Observer

    display = nullcontext(Observer()) if quiet else make_display(sweep_file.spec, is_plain=plain or inline)
    with display as observer, sweep_file.locating():
        from sweep.launch import LaunchOptions, launch  # takes longer than all the above

        for note in sweep_file.notes:
            observer.on_note(note)
        options = LaunchOptions(runs, address, inline, fresh, seconds)
        launched = launch(sweep_file.spec, observer, options, near=file.parent)

    from sweep.analysis.failures import explain_no_best
    from sweep.console.summary import exit_status, summarise

    status = exit_status(launched)
    if not quiet:
        summarise(launched, sweep_file.metric_place)
    elif status == 1:
        print(f"error: {explain_no_best(launched.view)}", file=sys.stderr)
    raise Exit(status)
