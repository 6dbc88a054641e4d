"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file (YAML).", show_default=False)]
SweepName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A sweep's name below --runs, or the path of its directory.", show_default=False
    ),
]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="The folder that holds the sweeps.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change an entry of the sweep file, e.g. parameters.epochs=3. Repeatable; the value is YAML.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The sweep's name.", show_default="the file's")
]
