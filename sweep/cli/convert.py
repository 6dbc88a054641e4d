"""`sweep convert`: convert a W&B sweep file to a sweep file."""

from __future__ import annotations

import sys

from sweep.cli.options import File, Set, overrides


def convert(file: File, changes: Set = None) -> None:
    """Convert a W&B sweep file to a sweep file of this tool, printed on standard output.

    The conversion is optional: `sweep run` accepts W&B's file as it is. Entries without an equivalent are
    listed on standard error.

    \b
    Examples:
      sweep convert wandb.yaml > space.yaml
      sweep convert wandb.yaml --set resources.gpu=1 > space.yaml
    """
    from sweep.errors import InputError
    from sweep.sweepfile import read_sweep_file
    from sweep.sweepfile.wandb.reading import DISTINCTIVE_KEY

    sweep_file = read_sweep_file(file, overrides(changes))
    if not sweep_file.is_wandb:
        raise InputError(f"{file}: is not a W&B sweep file: it has no {DISTINCTIVE_KEY!r}; run it directly")
    for note in sweep_file.notes:
        print(f"note: {note}", file=sys.stderr)
    print(sweep_file.spec.to_yaml(), end="")
