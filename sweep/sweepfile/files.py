"""Finds the files that a sweep file names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweep.errors import EntryError, nearest_file


def find_file(key: str, place: str, folders: Sequence[Path], pattern: str) -> Path:
    """The absolute path of a file that an entry of the sweep file names.

    Args:
        key: the entry, with dots.
        place: the path in the entry.
        folders: the directories that the path can be relative to, in order.
        pattern: a glob pattern of such files, for the suggestion.

    Raises:
        EntryError: there is no such file.
    """
    candidates = [folder / place for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    places = dict.fromkeys(candidate.parent for candidate in candidates)
    found = [
        file.name
        for folder in places
        if folder.is_dir()
        for file in sorted(folder.glob(pattern))
        if file.is_file()
    ]
    hint = nearest_file(Path(place).name, found)
    raise EntryError(
        key,
        f"there is no file {place}"
        + (f"; did you mean {place[: -len(Path(place).name)]}{hint}?" if hint else "")
        + f" (looked in {' and '.join(dict.fromkeys(str(folder.resolve()) for folder in places))})",
    )
