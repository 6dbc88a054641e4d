"""`SlurmOptions`: how many Slurm jobs a sweep may have, and what each requests."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.errors import InputError
from sweep.sweepfile.resources import Resources

NODES = "0..8"
"""The default of `--nodes`."""
_OWN = {
    "--array": "each job is one worker",
    "-a": "each job is one worker",
    "--nodes": "each job has one node; write --nodes beside --slurm to limit the number of jobs",
    "-N": "each job has one node; write --nodes beside --slurm to limit the number of jobs",
    "--wrap": "the jobs run the sweep's trials",
    "--clusters": "the jobs have to reach this machine, and are followed in its own cluster",
    "-M": "the jobs have to reach this machine, and are followed in its own cluster",
    "--wait": "the sweep itself waits for its jobs",
    "-W": "the sweep itself waits for its jobs",
}
"""Options of sbatch that a sweep's jobs cannot have, and why."""
_CPU_OPTIONS = re.compile(r"-c|-n|-B|--(cpus-per-|ntasks|exclusive|cores-per-|extra-node-info)")
_GPU_OPTIONS = re.compile(r"-G|--(gpus|gres|tres)")


@dataclass(frozen=True)
class SlurmOptions:
    """How many jobs a sweep has in Slurm, and what they request.

    Args:
        arguments: options of sbatch for each job.
        least: the number of jobs that are kept while the sweep runs, even without work.
        most: the largest number of jobs.
    """

    arguments: tuple[str, ...] = ()
    least: int = 0
    most: int = 8

    @classmethod
    def read(cls, arguments: str = "", nodes: str = NODES) -> SlurmOptions:
        """Read `--slurm-args` and `--nodes`.

        Args:
            arguments: options of sbatch, as a shell reads them.
            nodes: `LEAST..MOST` numbers of jobs; `8` means `0..8`.

        Raises:
            InputError: an option is invalid.
        """
        found = re.fullmatch(r"(?:(\d+)\.\.)?(\d+)", nodes.replace(" ", ""))
        least, most = (int(found[1] or 0), int(found[2])) if found else (1, 0)
        if least > most or most == 0:
            raise InputError(
                f"--nodes: {nodes!r} is not a number of jobs; write the most, 8, or the least and the most, "
                "0..8"
            )
        return cls(_read_arguments(arguments), least, most)

    def request(self, resources: Resources) -> list[str]:
        """The options of sbatch for a job.

        Unless the arguments say something else, a job requests what one trial needs, and for each GPU as many
        CPUs as the trials that run on it. Slurm's own default is one CPU, whatever the number of GPUs.
        """
        cpu, gpu = resources.cpu, resources.gpus
        wanted = []
        if gpu > 0 and not self._has(_GPU_OPTIONS):
            wanted.append(f"--gres=gpu:{math.ceil(gpu)}")
        if not self._has(_CPU_OPTIONS):
            if gpu > 0:
                wanted.append(f"--cpus-per-gpu={_cpus_per_gpu(resources)}")
            elif cpu > 1:
                wanted.append(f"--cpus-per-task={math.ceil(cpu)}")
        return [*wanted, *self.arguments]

    def note_on_sharing(self, resources: Resources) -> str:
        """A note if a job has not enough CPUs for two trials that share a GPU; empty otherwise."""
        if not resources.is_auto or self._has(_CPU_OPTIONS):
            return ""
        cpus = _cpus_per_gpu(resources)
        if cpus >= 2 * resources.cpu:
            return ""
        return (
            f"gpu: auto: a job requests --cpus-per-gpu={cpus}, enough for one trial; several can share "
            f"a GPU with --slurm-args='--cpus-per-gpu={4 * cpus}', for example"
        )

    def _has(self, options: re.Pattern[str]) -> bool:
        return any(options.match(argument) for argument in self.arguments)


def _cpus_per_gpu(resources: Resources) -> int:
    cpu, gpu = resources.cpu, resources.gpus
    return max(1, math.ceil(cpu / gpu if gpu >= 1 else cpu * int(1 / gpu)))


def _read_arguments(text: str) -> tuple[str, ...]:
    try:
        arguments: Sequence[str] = shlex.split(text)
    except ValueError as error:
        raise InputError(f"--slurm-args: {text!r} cannot be read: {error}; close the quotes") from None
    for argument in arguments:
        option = argument.partition("=")[0] if argument.startswith("--") else argument[:2]
        if option in _OWN:
            raise InputError(f"--slurm-args: {option} cannot be used: {_OWN[option]}; leave it out")
    if arguments and not arguments[0].startswith("-"):
        raise InputError(
            f"--slurm-args: {arguments[0]!r} is not an option of sbatch; write for example "
            "--slurm-args='--partition=gpu --time=4:00:00'"
        )
    return tuple(arguments)
