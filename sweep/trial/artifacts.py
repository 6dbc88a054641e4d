"""Artifacts of a trial: named files and directories that it saves permanently."""

from __future__ import annotations

import os
from pathlib import Path

from sweep.system.durable import copy_atomically, list_complete, remove_unfinished


class Artifacts:
    """Saves a trial's artifacts for `trial.save_artifact`. Thread-safe.

    Unfinished copies of an earlier attempt that was killed are removed first.

    Args:
        directory: the directory of the artifacts; created with the first one.
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
        target = self._directory / check_name(
            os.path.basename(os.path.abspath(source)) if name is None else name
        )
        self._directory.mkdir(parents=True, exist_ok=True)
        copy_atomically(source, target)
        return target


def check_name(name: str) -> str:
    """Check an artifact's name: it is an entry of the artifacts' directory.

    Raises:
        ValueError: the name is a path, begins with a dot, or is not printable.
    """
    if not isinstance(name, str) or not name or not name.isprintable() or "/" in name or name[0] == ".":
        raise ValueError(
            f"{name!r} cannot name an artifact; give a printable name without '/' that does not begin with "
            "'.', such as name=\"model.pt\""
        )
    return name


def find_artifacts(directory: Path) -> dict[str, Path]:
    """The artifacts in a directory by name, in alphabetical order.

    While a directory is being replaced, its previous version is returned.
    """
    try:
        return list_complete(directory)
    except (FileNotFoundError, NotADirectoryError):
        return {}
