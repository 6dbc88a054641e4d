"""A Slurm on this machine in whose jobs the sweeps of `chaos.py` and `slurm_chaos.py` run."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from chaos_invariants import REPOSITORY
from chaos_nodes import Machines

sys.path.insert(0, str(REPOSITORY))
from tests.slurm import Slurm, running_slurm


class SlurmJobs(Machines):
    """The jobs of a Slurm, which is started when it is first used.

    Args:
        nodes: the number of jobs, for `--nodes`.
        job: options of the jobs, for `--slurm-args`.
        options: more options of `sweep run`.
    """

    def __init__(
        self, nodes: str = "1..2", job: str = "--cpus-per-task=2", options: Sequence[str] = ()
    ) -> None:
        self._arguments = ["--slurm", "--nodes", nodes, "--slurm-args", job, *options]
        self._exits = ExitStack()
        self._slurm: Slurm | None = None

    @property
    def arguments(self) -> Sequence[str]:
        return self._arguments

    @property
    def env(self) -> Mapping[str, str]:
        return self._started().environment

    def end_job(self, root: Path, command: Sequence[str], choice: random.Random) -> bool:
        """End a job that has joined the sweep in `root`; returns whether there was one."""
        joined = self._joined(root)
        if joined:
            self._started().run(*command, choice.choice(joined))
        return bool(joined)

    def has_joined(self, root: Path) -> bool:
        """Whether a running job has joined the sweep in `root`."""
        return bool(self._joined(root))

    def _joined(self, root: Path) -> list[str]:
        logs = {job: root / "slurm" / f"{job}.log" for job in self._started().jobs("RUNNING")}
        return [job for job, log in logs.items() if log.exists() and "joined" in log.read_text()]

    def problems(self) -> list[str]:
        jobs = self._slurm.jobs("PENDING", "RUNNING") if self._slurm is not None else []
        return [f"jobs are left after the sweep: {jobs}"] if jobs else []

    def shutdown(self) -> None:
        self._exits.close()

    def _started(self) -> Slurm:
        if self._slurm is None:
            self._slurm = self._exits.enter_context(running_slurm())
        return self._slurm
