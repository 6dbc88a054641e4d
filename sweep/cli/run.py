"""`sweep run`: run a sweep, or resume it."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from sweep.cli.options import File, Name, Runs, Set, overrides
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.engine.slurm.options import SlurmOptions

_Trials = Annotated[int | None, Option("--trials", "-n", metavar="N", help="Stop after N trials in total.")]
_Parallel = Annotated[int | None, Option("--parallel", "-p", metavar="N", help="At most N trials at once.")]
_Address = Annotated[
    str | None,
    Option(
        "--address",
        metavar="ADDR",
        help="A Ray cluster (auto, HOST:6379, ray://HOST), or local to start Ray here.",
    ),
]
_Inline = Annotated[
    bool, Option("--inline", help="Run one trial at a time, without Ray; breakpoint() works.")
]
_Fresh = Annotated[bool, Option("--fresh", help="Start again; the old sweep is moved to .old/ in --runs.")]
_Grace = Annotated[
    str, Option("--grace", metavar="TIME", help="Time to reach a checkpoint after Ctrl-C: 90s, 5m, 0.")
]
_Slurm = Annotated[
    bool, Option("--slurm", help="Run the trials in Slurm jobs, which are submitted from this machine.")
]
_SlurmArgs = Annotated[
    str | None, Option("--slurm-args", metavar="ARGS", help="Options of sbatch for each job, in quotes.")
]
_Nodes = Annotated[
    str | None,
    Option("--nodes", metavar="MIN..MAX", help="How many Slurm jobs, of a node each.  [default: 0..8]"),
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
    slurm: _Slurm = False,
    slurm_args: _SlurmArgs = None,
    nodes: _Nodes = None,
    plain: _Plain = False,
    quiet: _Quiet = False,
) -> None:
    """Run the sweep that FILE describes. The same command resumes it after an interruption.

    As many trials run at once as the machine, or the Ray cluster, has resources for. The cluster is set by
    --address or RAY_ADDRESS, or consists of Slurm jobs (--slurm); otherwise Ray is started on this machine.

    After Ctrl-C (or SIGTERM) no trial is started, and running trials have --grace to reach a checkpoint; a
    second Ctrl-C terminates them at once. Finished trials are kept either way.

    \b
    Examples:
      sweep run space.yaml --name longer -n 100 -p 4 --set parameters.epochs=20
      sweep run space.yaml --address auto       on the Ray cluster of this machine
      sweep run space.yaml --slurm --slurm-args "--gres=gpu:4 --time=4:00:00"

    Exit status: 0 a trial is complete or pruned; 1 none is, or error; 2 invalid input; 130, 143 interrupted.
    """
    from sweep.sweepfile import read_sweep_file

    slurm_options, seconds = _slurm_options(slurm, slurm_args, nodes, address, inline), _seconds(grace)
    sweep_file = read_sweep_file(file, overrides(changes, name, trials, parallel))
    from sweep.console.display import make_display
    from sweep.engine.observer import Observer

    display = nullcontext(Observer()) if quiet else make_display(sweep_file.spec, is_plain=plain or inline)
    with display as observer, sweep_file.locating():
        from sweep.launch import LaunchOptions, launch  # takes longer than all the above
        from sweep.system.remote.mirror import mirrored

        for note in sweep_file.notes:
            observer.on_note(note)
        options = LaunchOptions(runs, address, inline, fresh, seconds, slurm_options)
        with mirrored(runs, sweep_file.spec.name, fresh, observer.on_note):
            launched = launch(sweep_file.spec, observer, options, near=file.parent)

    from sweep.analysis.failures import explain_no_best
    from sweep.console.summary import exit_status, summarise

    status = exit_status(launched)
    if not quiet:
        summarise(launched, sweep_file.metric_place)
    elif status == 1:
        print(f"error: {explain_no_best(launched.view)}", file=sys.stderr)
    raise Exit(status)


def _seconds(grace: str) -> float:
    from sweep.sweepfile.types import read_delay

    return read_delay(float(grace) if grace.replace(".", "", 1).isdecimal() else grace, "--grace")


def _slurm_options(
    is_given: bool, arguments: str | None, nodes: str | None, address: str | None, inline: bool
) -> SlurmOptions | None:
    from sweep.engine.slurm.options import NODES, SlurmOptions
    from sweep.errors import InputError

    if not is_given:
        for option, value in (("--slurm-args", arguments), ("--nodes", nodes)):
            if value is not None:
                raise InputError(f"{option}: is for Slurm jobs; add --slurm")
        return None
    if inline or address is not None:
        raise InputError(
            f"{'--inline' if inline else '--address'}: cannot be used with --slurm, whose jobs join a Ray "
            "that is started for the sweep; leave one of them out"
        )
    return SlurmOptions.read(arguments or "", NODES if nodes is None else nodes)
