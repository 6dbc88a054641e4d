"""Arguments, options and output that several commands share."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from sweep.cli.completion import complete_sweep
from sweep.system.paths import expand_home, home_path
from sweep.system.remote.store import runs_path

if TYPE_CHECKING:
    from sweep.sweepfile.load import Override

File = Annotated[Path, Argument(metavar="FILE", parser=home_path, help="The sweep file (YAML).")]
SweepName = Annotated[
    str,
    Argument(
        metavar="NAME",
        parser=expand_home,
        autocompletion=complete_sweep,
        help="A sweep's name in --runs, or its directory.",
    ),
]
Runs = Annotated[
    Path,
    Option(
        "--runs", metavar="DIR", parser=runs_path, help="The folder that contains the sweeps, or s3://..."
    ),
]
Set = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Change an entry: stop.trials=20. Repeatable; VALUE is YAML."),
]
Name = Annotated[str | None, Option("--name", metavar="NAME", help="The sweep's name instead of the file's.")]
Json = Annotated[bool, Option("--json", help="Print JSON (docs/json.md).")]


def overrides(
    changes: list[str] | None, name: str | None = None, trials: int | None = None, parallel: int | None = None
) -> list[Override]:
    """The changes that the command line makes to the sweep file. Options override `--set`."""
    from sweep.sweepfile.load import parse_override

    options = [("--name", "name", name), ("--trials", "stop.trials", trials)]
    options.append(("--parallel", "max_parallel", parallel))
    return [*map(parse_override, changes or []), *(option for option in options if option[2] is not None)]


def print_json(data: Any) -> None:
    """Print data as JSON, with null in place of NaN and infinity, which JSON does not have."""
    from sweep.system.streams import can_encode

    text = json_text(data)
    print(text if can_encode(text) else json.dumps(finite(data), indent=2))


def json_text(data: Any) -> str:
    """Data as JSON, without control characters, which a terminal would carry out."""
    from sweep.analysis.formatting import escaped

    return escaped(json.dumps(finite(data), indent=2, ensure_ascii=False))


def print_text(text: str) -> None:
    """Print a text for other programs as it is; on a terminal with escapes for control characters."""
    from sweep.analysis.formatting import escaped

    print(escaped(text) if sys.stdout.isatty() else text, end="")


def finite(data: Any) -> Any:
    """The data with None in place of NaN and infinity."""
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    return [finite(value) for value in data] if isinstance(data, (list, tuple)) else data
