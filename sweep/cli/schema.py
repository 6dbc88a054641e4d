"""`sweep schema`: what a sweep file may say, for editors."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of sweep files, with which editors complete and check them.

    \b
    Examples:
      sweep schema > sweep.schema.json
      # then, as the first line of a sweep file, for the YAML language server (VS Code, Neovim):
      # yaml-language-server: $schema=sweep.schema.json
    """
    from sweep.cli.show import print_json
    from sweep.sweepfile.schema import json_schema

    print_json(json_schema())
