"""`sweep watch`: display a sweep that another process runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from typer import Option

from sweep.cli.options import Runs, SweepName
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.analysis.following import Follower
    from sweep.console.display import Display

_INTERVAL = 1.0  # seconds


def watch(
    name: SweepName,
    runs: Runs = RUNS,
    plain: Annotated[
        bool, Option("--plain", help="Print a line per finished trial instead of the live display.")
    ] = False,
) -> None:
    """Display the progress of a sweep that runs elsewhere: in another terminal, or on another machine.

    The sweep's files are only read. Ctrl-C leaves the sweep running. When the sweep stops, its status is
    printed; of a sweep that is not running, that is all.

    \b
    Examples:
      sweep watch digits-cnn
      sweep watch digits-cnn --runs /shared/runs
      sweep watch digits-cnn --plain | tee log
    """
    from sweep.analysis.following import Follower
    from sweep.analysis.resuming import name_for_commands
    from sweep.analysis.view import SweepView
    from sweep.console.display import make_display
    from sweep.console.summary import print_status

    view = SweepView.open(name, runs)
    follower = Follower(view)
    try:
        if follower.is_running:
            with make_display(view.spec, is_plain=plain) as display:
                _follow(follower, display)
    except KeyboardInterrupt:
        short = name_for_commands(view.directory)
        print(f"{short} continues to run. Watch it again: sweep watch {short}; stop it: sweep stop {short}")
        return
    print_status(view.again())


def _follow(follower: Follower, display: Display) -> None:
    """Display the sweep until no process runs it, or nobody reads what is printed."""
    from sweep.analysis.time_left import recent
    from sweep.system.streams import lost_output

    look = follower.look()
    display.on_history(follower.latest(recent(look.progress.slots)))
    display.on_reports(look.reports)
    display.on_ready(look.progress.slots, look.progress)
    while follower.is_running and lost_output() is None:
        time.sleep(_INTERVAL)
        look = follower.look()
        display.on_reports(look.reports)
        for result in look.results:
            display.on_attempt_end(result)
        display.on_progress(look.progress)
