"""Finds the files that a sweep file refers to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweep.errors import EntryError, nearest_file


def find_file(key: str, path: str, folders: Sequence[Path], pattern: str) -> Path:
    """The absolute path of a file that an entry of the sweep file refers to.

    Args:
        key: the dotted key of the entry.
        path: the path in the entry.
        folders: the directories that the path can be relative to, in order.
        pattern: a glob pattern of such files, for the suggestion.

    Raises:
        EntryError: there is no such file.
    """
    candidates = [folder / path for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    searched = dict.fromkeys(candidate.parent for candidate in candidates)
    names = [
        file.name
        for folder in searched
        if folder.is_dir()
        for file in sorted(folder.glob(pattern))
        if file.is_file()
    ]
    hint = nearest_file(Path(path).name, names)
    raise EntryError(
        key,
        f"there is no file {path}"
        + (f"; did you mean {path[: -len(Path(path).name)]}{hint}?" if hint else "")
        + f" (looked in {' and '.join(dict.fromkeys(str(folder.resolve()) for folder in searched))})",
    )
