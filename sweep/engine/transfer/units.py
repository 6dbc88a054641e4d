"""Checkpoints and artifacts: what is sent when it is complete, and appears completely or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sweep.engine.transfer.messages import Entry, Status, scan
from sweep.system.directory import TrialDirectory
from sweep.trial.artifacts import find_artifacts
from sweep.trial.checkpoints import find_checkpoints

Unit = Mapping[str, Entry]
"""The entries of a checkpoint or an artifact by their paths in it; empty for the file that it is."""
_UNIT = re.compile(r"checkpoint/\.?\d+-step-\d+(/.*)?|artifacts/.*", re.DOTALL)


def find_units(root: Path) -> dict[str, Unit]:
    """The complete checkpoints and artifacts of a run directory by their relative paths, the oldest first."""
    paths = TrialDirectory(root)
    found = [checkpoint.path for checkpoint in find_checkpoints(paths.checkpoints)]
    found += [path for name, path in find_artifacts(paths.artifacts).items() if path.name == name]
    units = {}
    for path in found:
        with suppress(FileNotFoundError):
            if (unit := _read(path)) is not None:
                path.lstat()  # it is renamed before it is removed: nothing of it was missing
                units[str(path.relative_to(root))] = unit
    return units


def _read(path: Path) -> Unit | None:
    if path.is_symlink():
        return None
    if path.is_dir():
        return scan(path)
    status = path.stat()
    return {"": Entry("file", status.st_size, Status.of(status), status.st_ino)}


def is_of_unit(path: str, entry: Entry) -> bool:
    """Whether an entry of a run directory belongs to a checkpoint or an artifact, even an unfinished one."""
    is_link = entry.kind == "link" and path.count("/") == 1
    return not is_link and _UNIT.fullmatch(path) is not None


def subtree(entries: Mapping[str, Entry], path: str) -> Unit:
    """The unit with this path."""
    if path in entries and entries[path].kind == "file":
        return {"": entries[path]}
    prefix = f"{path}/"
    return {name.removeprefix(prefix): entry for name, entry in entries.items() if name.startswith(prefix)}


def plain(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries without what differs between equal copies."""
    return {path: entry._replace(inode=0) for path, entry in entries.items()}
