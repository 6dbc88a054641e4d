"""Where everything of a sweep lies on disk. All paths come from here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
