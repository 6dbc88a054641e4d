"""`sweep status`: the status of a sweep, or of all sweeps in a folder."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from sweep.cli.completion import complete_sweep
from sweep.cli.options import Json, Runs, print_json
from sweep.errors import InputError
from sweep.system.directory import RUNS
from sweep.system.paths import expand_home


def status(
    name: Annotated[
        str | None,
        Argument(
            metavar="[NAME]",
            parser=expand_home,
            autocompletion=complete_sweep,
            help="A sweep's name or directory; all if omitted.",
        ),
    ] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Print the status of a sweep, or list all sweeps in the folder by name, as `sweep ls --sort name` does.

    \b
    Examples:
      sweep status
      sweep status digits-cnn
      sweep status digits-cnn --json
    """
    from sweep.analysis.status import find_sweeps, status_record, unreadable_record
    from sweep.analysis.view import SweepView

    if name is not None:
        view = SweepView.open(name, runs)
        if as_json:
            print_json(status_record(view))
        else:
            from sweep.console.summary import print_status

            print_status(view)
        return
    sweeps = find_sweeps(runs)
    if as_json:
        print_json(
            [
                unreadable_record(key, view) if isinstance(view, InputError) else status_record(view)
                for key, view in sweeps.items()
            ]
        )
    else:
        from sweep.console.tables import print_listing

        print_listing(sweeps, runs)
