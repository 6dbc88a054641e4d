"""`sweep schema`: the JSON Schema of sweep files."""

from __future__ import annotations

from sweep.cli.options import print_json


def schema() -> None:
    """Print the JSON Schema of sweep files, which editors use for completion and validation.

    \b
    Examples:
      sweep schema > sweep.schema.json
      # then, as the first line of a sweep file, for VS Code, Neovim:
      # yaml-language-server: $schema=sweep.schema.json
    """
    from sweep.sweepfile.schema import json_schema

    print_json(json_schema())
