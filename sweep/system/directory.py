"""The layout of a sweep directory. All paths of a sweep come from here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import InputError

RUNS = Path("runs")
"""The default parent of sweep directories."""


class _Entry:
    """A file or directory with a fixed name, as an attribute of the class of its directory."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, directory: SweepDirectory | TrialDirectory, owner: type) -> Path:
        return directory.root / self._name


@dataclass(frozen=True)
class SweepDirectory:
    """`runs/<name>/`: a TensorBoard log directory with everything needed to resume the sweep.

    Args:
        root: its absolute path.
    """

    root: Path

    @classmethod
    def of(cls, runs: Path, name: str) -> SweepDirectory:
        """The directory of the sweep `name` below `runs`."""
        return cls((runs / name).resolve())

    @property
    def name(self) -> str:
        return self.root.name

    spec = _Entry("sweep.yaml")
    """The resolved sweep file. A directory that contains it is a sweep."""
    journal = _Entry("journal.log")
    """Optuna's journal storage."""
    snapshot = _Entry(".snapshot")
    """The study as of a place in the journal, a cache (`study/snapshot.py`)."""
    lock = _Entry(".lock")
    """Locked exclusively by the process that runs the sweep."""
    fence = _Entry(".fence")
    """Lock shared by all processes of a run of the sweep (`lock.py`)."""
    requests = _Entry(".requests")
    """Requests of other processes to the one that runs the sweep."""
    usage = _Entry(".usage")
    """How long the sweep has run and how busy its slots were (`controller/usage.py`)."""
    error = _Entry("error.txt")
    """The traceback of the error that stopped the last run, if it was not the error of a trial."""
    command = _Entry(".command")
    """How the sweep was last started, for messages that say how to resume it (`analysis/resuming.py`)."""
    code = _Entry(".code")
    """The digest of the objective's code as it was when the sweep started (`objective/digest.py`)."""
    jobs = _Entry("slurm")
    """The output of the sweep's Slurm jobs (`engine/slurm/jobs.py`)."""
    head = _Entry(".head")
    """How the jobs find the sweep's Ray; only while it runs (`engine/slurm/head.py`)."""
    password = _Entry(".password")
    """The password of the database, if the sweep file contains it; only its owner can read this file."""
    environment = _Entry(".environment")
    """What each run of the sweep ran on: git commit, packages, machine (`environment.py`)."""
    arriving = _Entry(".arriving")
    """What has arrived of files that other machines are sending (`engine/transfer`)."""

    @property
    def old_sweeps(self) -> Path:
        """The directory to which `--fresh` moves existing sweeps."""
        return self.root.parent / ".old"

    def of_rank(self, rank: int) -> SweepDirectory:
        """The directory for one of the workers that run a trial together, next to this one."""
        return SweepDirectory(self.root.parent / f"rank{rank}" / self.root.name)

    def exists(self) -> bool:
        """Whether there is a sweep in this directory."""
        return self.spec.is_file()

    def trial(self, number: int, label: str = "") -> TrialDirectory:
        """The directory of a trial, or of its repeat with this label."""
        root = self.root / f"trial-{number:04d}"
        return TrialDirectory(root / label if label else root)


@dataclass(frozen=True)
class TrialDirectory:
    """`runs/<name>/trial-0007/`, or `trial-0007/seed-0/` for a repeat: a TensorBoard run directory."""

    root: Path

    output = _Entry("output.log")
    """The stdout and stderr of the trial."""
    checkpoints = _Entry("checkpoint")
    """The checkpoints from which the trial can resume."""
    artifacts = _Entry("artifacts")
    """The artifacts of the trial."""
    system = _Entry("system")
    """A run below the trial's: what its processes have used."""
    arguments = _Entry("args.json")
    """The parameters for a script whose command uses `${args_json_file}`."""
    reports = _Entry("reports.jsonl")
    """The values that a script reports with `sweep.report`."""

    def output_of(self, rank: int) -> Path:
        """The stdout and stderr of one of the workers that run the trial together."""
        return self.output if rank == 0 else self.root / f"output-rank{rank}.log"

    @staticmethod
    def is_of_other_rank(name: str) -> bool:
        """Whether a file is the output of a worker that is not rank 0."""
        return re.fullmatch(r"output-rank\d+\.log", name) is not None

    def of_rank(self, rank: int) -> TrialDirectory:
        """The directory for what each of the workers that run the trial together needs for itself."""
        return self if rank == 0 else TrialDirectory(self.root / f".rank{rank}")

    error = _Entry("error.txt")
    """The error of the last failed attempt, unless a later attempt has not failed."""
    out_of_memory = _Entry(".out-of-memory")
    """Exists after an attempt was killed because its machine's memory ran out, until that is reported."""
    earlier_error = _Entry("earlier-error.txt")
    """The error of the last failed attempt of a run that has not failed: another attempt followed."""


def check_writable(folder: Path) -> None:
    """Check that a directory is writable, or can be created. Writes nothing.

    Raises:
        InputError: the path is not a directory, or is not writable.
    """
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"{existing}: is not a directory; choose another directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing}: is not writable; choose another directory, or change its permissions")


def create_directory(path: Path) -> bool:
    """Create a directory and its missing parents.

    Returns:
        whether it is new. Of several concurrent callers only one gets True.

    Raises:
        InputError: it cannot be created.
    """
    check_writable(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        if path.is_dir():
            return False
        raise InputError(f"{path}: is not a directory; choose another directory") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be created: {error.strerror}; choose another directory") from None
    return True
