"""Artifacts of a trial: files and directories that it saves to be kept, each under a name of its own."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.system.durable import copy_whole, is_unfinished, remove_unfinished


class Artifacts:
    """Saves a trial's artifacts, for `trial.save_artifact`, from any of its threads.

    What an attempt that was killed had not finished is removed first.

    Args:
        directory: where they lie; made when the first one is saved.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if directory.is_dir():
            remove_unfinished(directory)  # now: later another thread may be copying

    def save(self, path: str | os.PathLike[str], name: str | None = None) -> Path:
        """Copy a file or a directory; see `Trial.save_artifact`."""
        source = Path(path)
        if not source.exists():
            raise FileNotFoundError(f"artifact {os.fspath(path)!r}: there is no such file or directory")
        place = self._directory / check_name(
            os.path.basename(os.path.abspath(source)) if name is None else name
        )
        self._directory.mkdir(parents=True, exist_ok=True)
        copy_whole(source, place)
        return place


def check_name(name: str) -> str:
    """See that a name is one: an artifact lies directly in its directory.

    Raises:
        ValueError: it is a path, or hidden, or has letters that cannot be shown.
    """
    if not isinstance(name, str) or not name or not name.isprintable() or "/" in name or name[0] == ".":
        raise ValueError(
            f"{name!r} cannot name an artifact; give a printable name without '/' that does not begin with "
            "'.', such as name=\"model.pt\""
        )
    return name


def find_artifacts(directory: Path) -> list[Path]:
    """The artifacts in a directory, in the order of their names."""
    try:
        return sorted(path for path in directory.iterdir() if not is_unfinished(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
