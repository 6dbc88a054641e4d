"""The command line. Commands are thin: parse, call, print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys


def main() -> None:
    """The `sweep` command. Errors are printed without a traceback; the exit status says their kind."""
    from sweep.cli.app import app
    from sweep.errors import SweepError

    try:
        app()
    except SweepError as error:
        for line in str(error).splitlines():
            print(f"error: {line}" if line and not line.startswith(" ") else line, file=sys.stderr)
        sys.exit(error.exit_status)
    except BrokenPipeError:  # `sweep trials x | head`
        sys.stderr.close()
        sys.exit(1)
