"""`JobClock`: how much time a Slurm job has left, seen from inside."""

from __future__ import annotations

import math
import os
import re
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress

_TIMEOUT = 20.0  # seconds
_ASK_AGAIN = 60.0
"""Time between two questions to squeue that were not answered, in seconds."""
_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
"""A time left as squeue prints it: 1-02:03:04, 02:03:04 or 3:04."""


class JobClock:
    """Knows when the job of this process reaches its time limit.

    Slurm's own signal before the limit (`--signal`) comes at other times in other versions, by up to a
    minute. So the clock is compared with the end of the job: that of SLURM_JOB_END_TIME, which versions
    before 23.02 do not set, or that of squeue.

    Args:
        environment: the variables of the job.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._job = environment.get("SLURM_JOB_ID", "")
        end = environment.get("SLURM_JOB_END_TIME", "")
        self._ask_at = math.inf
        """When squeue is asked again because it has not answered, on the monotonic clock."""
        self._end: float | None = float(end) if end.isdecimal() and int(end) > 0 else None
        if self._end is None:
            self.renew()

    def seconds_left(self) -> float | None:
        """The time until the limit; None if there is none, or it is unknown."""
        if time.monotonic() >= self._ask_at:
            self.renew()
        return None if self._end is None else self._end - time.time()

    def renew(self) -> None:
        """Ask Slurm again: an administrator can change the limit of a running job."""
        self._ask_at = math.inf if self._end is not None else time.monotonic() + _ASK_AGAIN
        with suppress(OSError, subprocess.SubprocessError):
            command = ["squeue", "--noheader", f"--jobs={self._job}", "--format=%L"]
            printed = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
            self._ask_at = math.inf
            if (left := read_time_left(printed.stdout)) is not None:
                self._end = time.time() + left


def read_time_left(text: str) -> float | None:
    """Read a time left as squeue prints it, in seconds; None if there is no limit, or it is unknown."""
    found = _LEFT.fullmatch(text.strip())
    if found is None:  # UNLIMITED, NOT_SET, INVALID
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds
