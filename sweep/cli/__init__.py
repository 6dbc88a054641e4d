"""The command line. Each command parses its options, calls the package, and prints; imports are lazy."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """The `sweep` command. Prints errors without a traceback and exits with the status of their kind."""
    from sweep.caller import CommandLine, called_by
    from sweep.cli.app import app
    from sweep.errors import SpecError, StartInterrupted, SweepError

    command, is_run = CommandLine(sys.argv[1:]), sys.argv[1:2] == ["run"]
    try:
        with called_by(command):
            app()
    except StartInterrupted as error:
        print(f"{error}; resume with: {command.again()}", file=sys.stderr, flush=True)
        os._exit(error.exit_status)  # Ray can crash on a normal exit if it was interrupted while starting
    except SweepError as error:
        separator = "\nerror: " if isinstance(error, SpecError) else "\n"  # each mistake has its own line
        print("error: " + separator.join(str(error).splitlines()), file=sys.stderr)
        sys.exit(error.exit_status)
    except BrokenPipeError:  # `sweep trials x | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # for example a full disk, or missing permissions
        hint = f"\nresume with: {command.again()}" if is_run else ""
        print(f"error: {error}{hint}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        hint = f"; resume with: {command.again()}" if is_run else ""
        print(f"interrupted{hint}", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()  # otherwise Python's last garbage collection at exit takes 0.3 s
