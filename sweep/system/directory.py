"""Where everything of a sweep lies on disk. All paths come from here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import InputError

RUNS = Path("runs")
"""The default folder for sweep directories."""


@dataclass(frozen=True)
class SweepDirectory:
    """`runs/<name>/`: a TensorBoard log directory, and all that a sweep needs to go on.

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

    @property
    def spec(self) -> Path:
        """The resolved sweep file. Where it is, there is a sweep."""
        return self.root / "sweep.yaml"

    @property
    def journal(self) -> Path:
        """Optuna's journal storage."""
        return self.root / "journal.log"

    @property
    def lock(self) -> Path:
        """Locked by the process that runs the sweep, for as long as it does."""
        return self.root / ".lock"

    @property
    def fence(self) -> Path:
        """Locked by everything that takes part in a run of the sweep (`core/lock.py`)."""
        return self.root / ".fence"

    @property
    def requests(self) -> Path:
        """Where other processes leave word for the one that runs the sweep."""
        return self.root / ".requests"

    @property
    def code(self) -> Path:
        """What stands for the objective's code with which the sweep began (`objective/digest.py`)."""
        return self.root / ".code"

    @property
    def attic(self) -> Path:
        """Where `--fresh` moves old sweeps."""
        return self.root.parent / ".old"

    def exists(self) -> bool:
        """Whether there is a sweep here."""
        return self.spec.is_file()

    def trial(self, number: int, label: str = "") -> TrialDirectory:
        """The directory of a trial, or of its run with this label."""
        return TrialDirectory(self.root / f"trial-{number:04d}" / label)


@dataclass(frozen=True)
class TrialDirectory:
    """`runs/<name>/trial-0007/`: the run directory of a trial; of a repeat `trial-0007/seed-0/`."""

    root: Path

    @property
    def output(self) -> Path:
        """What the trial printed, stdout and stderr."""
        return self.root / "output.log"

    @property
    def checkpoints(self) -> Path:
        """What it saved to go on from."""
        return self.root / "checkpoint"

    @property
    def artifacts(self) -> Path:
        """What it saved to be kept."""
        return self.root / "artifacts"

    @property
    def error(self) -> Path:
        """Why its last failed attempt failed."""
        return self.root / "error.txt"


def check_can_hold(folder: Path) -> None:
    """See that something can be put into a directory, or into what would be made there. Writes nothing.

    Raises:
        InputError: it cannot.
    """
    place = folder
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise InputError(f"{place}: is no directory; choose another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place}: may not be written to; choose another place, or change its permissions")


def make_folder(path: Path) -> bool:
    """Make a directory, and those above it that are missing.

    Returns:
        whether it is new; of several callers at the same time only one is told so.

    Raises:
        InputError: it cannot be made.
    """
    check_can_hold(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        if path.is_dir():
            return False
        raise InputError(f"{path}: is no directory; choose another place") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be made: {error.strerror}; choose another place") from None
    return True
