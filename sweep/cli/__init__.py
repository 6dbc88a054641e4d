"""The command line. Commands are thin: parse, call, print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """The `sweep` command. Errors are printed without a traceback; the exit status says their kind."""
    from sweep.cli.app import app
    from sweep.errors import SpecError, StartInterrupted, SweepError

    try:
        app()
    except SweepError as error:
        separator = "\nerror: " if isinstance(error, SpecError) else "\n"  # a mistake in a file is a line
        print("error: " + separator.join(str(error).splitlines()), file=sys.stderr)
        if isinstance(error, StartInterrupted):
            sys.stderr.flush()
            # A Ray that was interrupted while it started may crash on its way out.
            os._exit(error.exit_status)
        sys.exit(error.exit_status)
    except BrokenPipeError:  # `sweep trials x | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # the disk is full, a folder may not be written
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()  # Python would look through all objects once more before it ends, which takes 0.3 s
