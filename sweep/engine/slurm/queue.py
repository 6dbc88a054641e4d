"""`SlurmQueue`: submits, lists and cancels the jobs of one sweep with sbatch, squeue and scancel."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sweep.errors import SweepError
from sweep.system.directory import SweepDirectory

_TIMEOUT = 60.0
"""How long a command of Slurm may take, in seconds. A busy controller lets its clients wait."""


_FAILED = ("FAILED", "NODE_FAIL", "BOOT_FAIL")
"""States of jobs that have ended by themselves."""
_CHANGES_COMMANDS = ("SLURM_", "SQUEUE_", "SCANCEL_")
_CHANGES_JOBS = ("SBATCH_ARRAY_INX", "SBATCH_CLUSTERS", "SBATCH_WAIT")
"""Variables of sbatch for options that `SlurmOptions` refuses."""


class SlurmError(SweepError):
    """A command of Slurm has failed. The message is the command's own."""


@dataclass(frozen=True)
class Job:
    """A job as squeue lists it.

    Args:
        id: its number.
        state: its state, such as PENDING.
        reason: why it is pending.
    """

    id: str
    state: str
    reason: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether it waits in the queue."""
        return self.state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")

    @property
    def is_launch_failed(self) -> bool:
        """Whether its machine could not start it. After an error of the prolog, Slurm holds it."""
        return self.reason == "launch failed requeued held" or self.state in _FAILED

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, or runs no more: Slurm is cleaning up."""
        return self.state not in ("RUNNING", "SUSPENDED", "RESIZING", "SIGNALING", "STOPPED") and (
            not self.is_pending
        )


class SlurmQueue:
    """The jobs of a sweep. They are found by their name, which contains a digest of the sweep's directory.

    Args:
        directory: the sweep's directory.
    """

    def __init__(self, directory: SweepDirectory) -> None:
        digest = hashlib.sha256(str(directory.root).encode()).hexdigest()[:8]
        self._name = f"sweep-{re.sub(r'[^A-Za-z0-9_.-]', '_', directory.name)[:40]}-{digest}"
        self._folder = directory.jobs

    def submit(self, script: str, options: Sequence[str]) -> str:
        """Submit a job of one node; returns its number.

        Args:
            script: the job script.
            options: options of sbatch.

        Raises:
            SlurmError: sbatch has failed.
        """
        folder = str(self._folder)
        output = self._folder / "%j.log"
        own = ["--parsable", "--nodes=1", "--requeue", f"--job-name={self._name}", f"--chdir={folder}"]
        own += [f"--output={str(output.parent).replace('%', '%%')}/{output.name}", "--open-mode=append"]
        printed = _run(["sbatch", *options, *own], script)
        # A site's submit filter may print more lines.
        found = re.search(r"^(\d+)(;.*)?$", printed, re.MULTILINE)
        if found is None:
            raise SlurmError(f"sbatch: printed no job number: {printed.strip()!r}")
        return found[1]

    def jobs(self) -> list[Job]:
        """The jobs of the sweep that Slurm lists, those of earlier runs included.

        Raises:
            SlurmError: squeue has failed.
        """
        own = [f"--user={os.getuid()}", f"--name={self._name}", "--format=%i|%T|%r"]
        lines = _run(["squeue", "--noheader", *own]).splitlines()
        jobs = [line.strip().split("|", 2) for line in lines]
        return [Job(*job) for job in jobs if len(job) == 3 and job[0].isdigit()]

    def end_of(self, number: str) -> Job | None:
        """How a job has ended; None if Slurm does not know it any more."""
        with suppress(SlurmError):
            printed = _run(["squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T|%r"])
            if found := re.match(r"([A-Z_]+)\|(.*)", printed.strip()):
                return Job(number, found[1], found[2])
        return None

    def cancel_all(self) -> None:
        """Cancel all jobs of the sweep, also those that squeue does not list yet.

        Raises:
            SlurmError: scancel has failed.
        """
        _run(["scancel", "--quiet", f"--user={os.getuid()}", f"--name={self._name}"])

    def cancel(self, numbers: Iterable[str]) -> None:
        """Cancel jobs. It is not an error that some have ended already.

        Raises:
            SlurmError: scancel has failed.
        """
        if numbers := list(numbers):
            _run(["scancel", "--quiet", *numbers])


def _run(command: list[str], script: str = "") -> str:
    """What a command of Slurm prints."""
    name = command[0]
    try:
        done = subprocess.run(
            command,
            input=script,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            env=_environment(),
            check=False,
        )
    except FileNotFoundError:
        raise SlurmError(f"{name}: command not found; start the sweep on a login node of Slurm") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{name}: no answer in {_TIMEOUT:g} s; is Slurm's controller busy?") from None
    except OSError as error:
        raise SlurmError(f"{name}: cannot be started: {error.strerror}") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
        own = [line.removeprefix(f"{name}: ").removeprefix("error: ") for line in lines]
        raise SlurmError(f"{name}: {'; '.join(own)}")
    return done.stdout


def _environment() -> dict[str, str]:
    """The environment of Slurm's commands, which a job inherits.

    Without the variables of a job in which the sweep itself runs: they would describe it to the new job.
    Without those that hide jobs from squeue or scancel. And without the address and the token of a Ray.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith(_CHANGES_COMMANDS) or name in ("SLURM_CONF", "SLURM_CONF_SERVER"))
        and name not in _CHANGES_JOBS
        and name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")
    }
