"""The run of a script by a worker that is not rank 0 of its trial: its metrics are not read."""

from __future__ import annotations

import os
import time

from sweep.script.exit_status import check_exit_status
from sweep.script.output import ScriptOutput
from sweep.script.process import Invocation, ScriptProcess
from sweep.script.run import observed
from sweep.system.directory import TrialDirectory
from sweep.trial.channel import Interrupted
from sweep.trial.trial import Trial

_POLL_INTERVAL = 0.2
_POLL_STOP_INTERVAL = 1.0  # seconds


def follow(trial: Trial, invocation: Invocation, rank: int) -> None:
    """Run a script until it exits. If the sweep is being stopped, it receives SIGTERM, as that of rank 0.

    Args:
        trial: the trial.
        invocation: how the script is started.
        rank: the worker's rank.

    Raises:
        Interrupted: the script was terminated because the sweep is being stopped.
        ScriptError: the script failed.
    """
    process = ScriptProcess(trial.directory, observed(invocation, trial.directory, os.devnull))
    output = ScriptOutput(process.popen, TrialDirectory(trial.directory).output_of(rank), wants_all=False)
    next_poll = time.monotonic() + _POLL_STOP_INTERVAL
    is_interrupted = False
    try:
        while not process.has_exited():
            output.read_lines(_POLL_INTERVAL)
            if output.error is not None:
                raise output.error
            if output.is_at_end:
                process.wait(_POLL_INTERVAL)
            if not is_interrupted and time.monotonic() >= next_poll:
                next_poll = time.monotonic() + _POLL_STOP_INTERVAL
                is_interrupted = trial.must_end() and process.interrupt()
    finally:
        try:
            process.terminate_all(is_interrupted)
        finally:
            output.close()
    if is_interrupted:
        raise Interrupted("the script was interrupted")
    check_exit_status(process.popen.returncode, list(output.tail))
