"""Copies what earlier attempts of a trial have left to the machine on which its next attempt runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sweep.engine.transfer.inside import inner_target
from sweep.engine.transfer.messages import Entry, SentRun, Store
from sweep.system.trees import remove_tree


def fetch(store: Store, run: SentRun, root: Path) -> Mapping[str, Entry]:
    """Begin an attempt: create its run directory, with the files that the store has.

    Args:
        store: the store.
        run: the attempt.
        root: the run directory. It appears when it is complete, in place of an old one.

    Returns:
        the entries of the store.
    """
    arriving = root.with_name(f".{root.name}.arriving")
    for old in (arriving, root):
        remove_tree(old)
    entries = store.open(run)
    arriving.mkdir(parents=True)
    for path, entry in entries.items():
        place = arriving / path
        if entry.kind == "directory":
            place.mkdir()
        elif entry.kind == "file":
            _fetch_file(store, run, path, entry, place)
        elif (target := inner_target(root, path, entry.target)) is not None:
            os.symlink(target, place)
    arriving.rename(root)
    return entries


def _fetch_file(store: Store, run: SentRun, path: str, entry: Entry, place: Path) -> None:
    with open(place, "wb") as file, suppress(FileNotFoundError):  # another rank has removed it
        while file.tell() < entry.size and (data := store.read(run, path, file.tell())):
            file.write(data)
    place.chmod(entry.status.mode)
    os.utime(place, ns=(entry.status.mtime_ns, entry.status.mtime_ns))
