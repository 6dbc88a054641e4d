"""The command line. Each command parses its options, calls the package, and prints; imports are lazy."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.caller import CommandLine


def main() -> None:
    """The `sweep` command. Prints errors without a traceback and exits with the status of their kind."""
    from sweep.system.streams import guarded_streams

    with guarded_streams():
        status = _check_output(_call_app())
    gc.freeze()  # otherwise Python's last garbage collection at exit takes 0.3 s
    sys.exit(status)


def _call_app() -> int:
    """Run the command; returns its exit status."""
    from sweep.analysis.formatting import printable
    from sweep.caller import CommandLine, called_by
    from sweep.cli.app import app
    from sweep.errors import SpecError, StartInterrupted, SweepError
    from sweep.system.paths import check_current_directory
    from sweep.system.urls import hide_passwords

    command, is_run = CommandLine([*map(hide_passwords, sys.argv[1:])]), sys.argv[1:2] == ["run"]
    try:
        check_current_directory()
        with called_by(command):
            app()
    except SystemExit as error:
        if isinstance(getattr(error.__context__, "__cause__", None), KeyboardInterrupt):  # typer replaces it
            return _interrupted(command, is_run)
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        return _fail(str(error.code))
    except StartInterrupted as error:
        print(f"{error}; resume with: {command.again()}", file=sys.stderr, flush=True)
        os._exit(error.exit_status)  # Ray can crash on a normal exit if it was interrupted while starting
    except SweepError as error:
        separator = "\nerror: " if isinstance(error, SpecError) else "\n"  # each mistake has its own line
        return _fail("error: " + separator.join(map(printable, str(error).splitlines())), error.exit_status)
    except UnicodeEncodeError as error:  # of the system's encoding: that of stdout raises no exceptions
        return _fail(
            f"error: {error.object!r} cannot be in a file name or a command line in this system's encoding, "
            f"{error.encoding}; set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
        )
    except OSError as error:  # for example a full disk, or missing permissions
        hint = f"\nresume with: {command.again()}" if is_run else ""
        return _fail(f"error: {printable(str(error))}{hint}")
    except KeyboardInterrupt:
        return _interrupted(command, is_run)
    return 0


def _interrupted(command: CommandLine, is_run: bool) -> int:
    hint = f"; resume with: {command.again()}" if is_run else ""
    return _fail(f"interrupted{hint}", 130)


def _fail(message: str, status: int = 1) -> int:
    print(message, file=sys.stderr)
    return status


def _check_output(status: int) -> int:
    """The exit status, given that the output can be lost. What counts for `sweep run` is its trials."""
    from sweep.system.streams import lost_output

    problem = lost_output()
    if problem is None:
        return status
    runs_trials = sys.argv[1:2] in (["run"], ["debug"])
    if not isinstance(
        problem, BrokenPipeError
    ):  # as in `sweep trials x | head`, where no message is expected
        cause = getattr(problem, "strerror", None) or problem
        print(f"{'note' if runs_trials else 'error'}: stdout cannot be written: {cause}", file=sys.stderr)
    return status if runs_trials else status or 1
