"""`sweep check`: validate a sweep file and preview the sweep."""

from __future__ import annotations

from sweep.cli.options import File, Json, Name, Set, overrides, print_json


def check(file: File, name: Name = None, changes: Set = None, as_json: Json = False) -> None:
    """Check a sweep file and print its search space, the size of its grid and some configurations.

    \b
    Examples:
      sweep check space.yaml
      sweep check space.yaml --set sampler=grid --json
    """
    from sweep.sweepfile import read_sweep_file

    sweep_file = read_sweep_file(file, overrides(changes, name))

    from sweep.preview import preview

    with sweep_file.locating():
        result = preview(sweep_file.spec, near=file.parent, allows_missing_program=sweep_file.is_wandb)
    notes = [*sweep_file.notes, *result.notes]
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
            }
        )
    else:
        from sweep.console.tables import print_preview

        print_preview(sweep_file.spec, result, notes)
