"""`Head`: how the jobs of a sweep find its Ray. A file in the sweep directory, on the shared file system."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.system.durable import write_private


@dataclass(frozen=True)
class Head:
    """The Ray of a sweep that its jobs join.

    The file can be read by the user alone, because the token allows to run code as the user. So it is not on
    a command line, and not in the environment of a job, which others can see.

    Args:
        address: its address, HOST:PORT.
        token: its token; empty if it has none.
        notice: how long trials have to reach a checkpoint before a job ends, in seconds.
    """

    address: str
    token: str
    notice: float

    def write(self, path: Path) -> None:
        """Write the file."""
        write_private(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Head | None:
        """Read the file; None if there is none: the sweep is over.

        Raises:
            OSError: the file system does not answer.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
