"""`sweep check`: validate a sweep file and preview the sweep."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Option

from sweep.cli.options import File, Json, Name, Set, overrides, print_json

Probed = Annotated[
    bool, Option("--probe", help="Run one trial for up to a minute, and propose resources from what it uses.")
]


def check(
    file: File, name: Name = None, changes: Set = None, probed: Probed = False, as_json: Json = False
) -> None:
    """Check a sweep file and print its search space, the size of its grid and some configurations.

    \b
    Examples:
      sweep check space.yaml
      sweep check space.yaml --set sampler=grid --json
      sweep check space.yaml --probe     what CPU, memory and GPU a trial uses
    """
    from sweep.sweepfile import read_sweep_file

    sweep_file = read_sweep_file(file, overrides(changes, name))

    from sweep.preview import preview

    with sweep_file.locating():
        result = preview(sweep_file.spec, near=file.parent, allows_missing_program=sweep_file.is_wandb)
    notes = [*sweep_file.notes, *result.notes]
    measured = None
    if probed:
        from sweep.probe import probe

        if not as_json:
            print("running one trial for up to a minute ...", file=sys.stderr, flush=True)
        measured = probe(file, sweep_file.spec, changes or [])
    if as_json:
        parameters = {
            key: parameter.model_dump(mode="json", exclude_unset=True)
            for key, parameter in result.parameters.items()
        }
        print_json(
            {
                "parameters": parameters,
                "grid": result.grid,
                "samples": result.samples,
                "command": result.command,
                "notes": notes,
                **({} if measured is None else {"probe": measured.to_dict()}),
            }
        )
    else:
        from sweep.console.tables import print_preview

        print_preview(sweep_file.spec, result, notes)
        if measured is not None:
            print()
            print(*measured.lines, sep="\n")
