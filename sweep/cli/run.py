"""`sweep run`: run a sweep, or go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sweep.cli.options import File, Name, Runs, Set
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.sweepfile.load import Override


def run(
    file: File,
    name: Name = None,
    runs: Runs = RUNS,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", "-n", metavar="N", help="Stop after N trials in all.", show_default="the file's"
        ),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel", "-p", metavar="N", help="At most N trials at once.", show_default="as many as fit"
        ),
    ] = None,
    changes: Set = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="ADDR",
            help="Join a running Ray cluster (auto, HOST:6379), or start Ray here (local).",
            show_default="RAY_ADDRESS, or local",
        ),
    ] = None,
    inline: Annotated[
        bool,
        typer.Option(
            "--inline", help="One trial at a time in this process, without Ray; breakpoint() works."
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; the old sweep is moved to .old/ below --runs.")
    ] = False,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            metavar="TIME",
            help="After Ctrl-C, how long running trials may take to reach a checkpoint: 90s, 5m, 0.",
        ),
    ] = "30s",
    plain: Annotated[
        bool, typer.Option("--plain", help="A line per event instead of the live display.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Run the sweep that FILE describes. The same command goes on where it stopped.

    Ctrl-C (or SIGTERM) begins nothing new and gives running trials --grace to reach a checkpoint; a second
    one ends at once. Nothing is lost either way.

    \b
    Examples:
      sweep run space.yaml
      sweep run space.yaml -n 100 -p 4
      sweep run space.yaml --name longer --set parameters.epochs=20
      sweep run space.yaml --address auto       on the Ray cluster that runs here

    Exit status: 0 done, with at least one complete trial; 1 no trial could do its work; 2 bad input;
    130 or 143 interrupted: the same command goes on.
    """
    from sweep.sweepfile import read_sweep_file

    seconds = _grace(grace)
    sweep_file = read_sweep_file(file, overrides(name, trials, parallel, changes))
    from sweep.console import display as displays

    display = displays.Display() if quiet else displays.choose(sweep_file.spec, is_plain=plain or inline)
    from sweep.console.summary import exit_status, summarise
    from sweep.launch import launch

    with display, sweep_file.locating():
        for note in sweep_file.notes:
            display.on_note(note)
        launched = launch(
            sweep_file.spec,
            display,
            near=file.parent,
            runs=runs,
            address=address,
            inline=inline,
            fresh=fresh,
            grace=seconds,
        )
    if not quiet:
        summarise(launched, runs, sweep_file.metric_place)
    raise typer.Exit(exit_status(launched))


def _grace(text: str) -> float:
    from sweep.sweepfile.types import read_delay

    return read_delay(float(text) if text.replace(".", "", 1).isdigit() else text, "--grace")


def overrides(
    name: str | None, trials: int | None, parallel: int | None, changes: list[str] | None
) -> list[Override]:
    """The command line's changes to the sweep file; options come after, and win over, `--set`."""
    from sweep.sweepfile.load import parse_override

    found = [parse_override(change) for change in changes or []]
    for option, key, value in (
        ("--name", "name", name),
        ("--trials", "stop.trials", trials),
        ("--parallel", "max_parallel", parallel),
    ):
        if value is not None:
            found.append((option, key, value))
    return found
