"""`sweep convert`: a W&B sweep file in our words."""

from __future__ import annotations

import sys

from sweep.cli.options import File, Set


def convert(file: File, changes: Set = None) -> None:
    """Print the sweep that a W&B file describes as a sweep file of this tool.

    It needs no conversion to be run: `sweep run` takes W&B's file as it is. What has no meaning here is named
    on standard error.

    \b
    Examples:
      sweep convert wandb.yaml > space.yaml
      sweep convert wandb.yaml --set resources.gpu=1 > space.yaml
    """
    from sweep.cli.run import overrides
    from sweep.errors import InputError
    from sweep.sweepfile import read_sweep_file
    from sweep.sweepfile.wandb.reading import DISTINCTIVE_KEY

    sweep_file = read_sweep_file(file, overrides(None, None, None, changes))
    if not sweep_file.is_wandb:
        raise InputError(
            f"{file}: is no W&B sweep file, for it has no {DISTINCTIVE_KEY!r}; it can be run as it is"
        )
    for note in sweep_file.notes:
        print(f"note: {note}", file=sys.stderr)
    print(sweep_file.spec.to_yaml(), end="")
