"""SIGTERM from Slurm: it is sent to every process of a job at once, also to workers and their children."""

from __future__ import annotations

import signal
from dataclasses import replace
from types import FrameType

from sweep.messages import Outcome

_FAILURES = ("error", "unreported", "crash")


class JobTermination:
    """Knows whether Slurm ends the job in which this worker runs.

    The agent of the job (`job_agent.py`) blocks SIGTERM in Ray's daemon, from which workers inherit that.
    Otherwise Ray would exit at once. A worker handles the signal instead of blocking it, so that programs
    that it starts can be terminated. Elsewhere SIGTERM is not blocked, and nothing is changed.

    Args:
        is_script: whether the trials are scripts.
    """

    def __init__(self, is_script: bool) -> None:
        self._is_script = is_script
        self._has_begun = False
        if signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def excuse(self, outcome: Outcome) -> Outcome:
        """The outcome of an attempt; `interrupted` if the signal may be the cause of what it was.

        A child process of a function dies of it, and a script saves its state and exits, with any status.
        """
        is_affected = outcome.kind in _FAILURES or (self._is_script and outcome.kind == "returned")
        if self._has_begun and is_affected:
            return replace(
                outcome, kind="interrupted", value=None, reason="Slurm has ended its job", traceback=""
            )
        return outcome

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._has_begun = True
