"""Fetches a sweep from an object store into a local directory, and keeps that up to date for readers."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.errors import InputError, SweepError
from sweep.system.directory import SweepDirectory
from sweep.system.lock import is_locked
from sweep.system.remote.contents import (
    JOURNAL,
    MANIFEST,
    RUNNER,
    SPEC,
    Record,
    is_checkpoint,
    local_files,
    stamp,
)
from sweep.system.remote.store import RemoteRuns, remote_runs
from sweep.system.trees import remove_tree

_INTERVAL = 5.0
"""Seconds between two looks of a reading command at the store."""
_ALIVE = 60.0
"""Seconds after which a sweep that another machine runs counts as killed, unless it has renewed its lock."""
THREADS = 8
"""How many files are copied at the same time."""
_OVERVIEW = (SPEC, JOURNAL, ".usage", ".command", ".environment")


def fetch(remote: RemoteRuns, root: Path, is_wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Bring a local directory up to date with the copy of its sweep in the store, unless it is newer.

    Args:
        remote: the folder of sweeps in the store.
        root: the local directory of the sweep, which need not exist.
        is_wanted: which files to fetch, by their paths relative to the directory.

    Raises:
        SweepError: the store cannot be reached.
    """
    name = root.name
    manifest = remote.read_json(name, MANIFEST)
    record = Record.read(root)
    if manifest is None or (record.is_source and manifest["writer"] in record.writers):
        return
    _store_runner(root, remote.read_json(name, RUNNER))
    prefix = remote.path(name)
    with remote.reaching():
        found = remote.files.find(prefix, detail=True)
    objects = {path[len(prefix) + 1 :]: _tag(info) for path, info in found.items()}
    listed = {name: tag for name, tag in objects.items() if name in manifest["files"]}
    if record.is_source:  # another machine has continued the sweep
        record = Record()
    wanted = {
        name: tag
        for name, tag in listed.items()
        if is_wanted(name)
        and (record.tags.get(name) != tag or record.stamps.get(name) != _stamp(root / name))
    }
    # The journal first: what is fetched later can be newer, but belongs to trials that it contains.
    first = [name for name in (JOURNAL,) if name in wanted]
    for names in (first, [name for name in wanted if name not in first]):
        with ThreadPoolExecutor(THREADS) as pool, remote.reaching():
            list(pool.map(lambda each: _fetch_file(remote, f"{prefix}/{each}", root / each), names))
    for each in local_files(root):
        if each not in manifest["files"]:
            (root / each).unlink(missing_ok=True)
    record.writers, record.is_source = [manifest["writer"]], False
    record.tags |= wanted
    record.stamps |= {each: stamp(root / each) for each in wanted if (root / each).exists()}
    root.mkdir(parents=True, exist_ok=True)
    record.write(root)


def refresh(directory: SweepDirectory) -> None:
    """Bring the local copy of a sweep up to date, if it is one and is not run here. Checkpoints stay there.

    Raises:
        SweepError: the store cannot be reached.
    """
    remote = remote_runs(directory.root.parent)
    if remote is not None and not is_locked(directory.lock):
        fetch(remote, directory.root, lambda name: not is_checkpoint(name))


def refresh_overview(runs: Path) -> None:
    """Bring what a list of all sweeps shows up to date, if the folder is a copy."""
    remote = remote_runs(runs)
    for name in remote.names() if remote is not None else ():
        root = runs / name
        if remote is not None and not is_locked(SweepDirectory(root).lock):
            fetch(remote, root, lambda each: each in _OVERVIEW)


def keep_refreshed(directory: SweepDirectory) -> None:
    """Bring the local copy of a sweep up to date from now on, in a thread, as long as this process lives."""
    if remote_runs(directory.root.parent) is not None:
        threading.Thread(target=_keep_refreshed, args=[directory], name="sweep-fetch", daemon=True).start()


def _keep_refreshed(directory: SweepDirectory) -> None:
    while True:
        time.sleep(_INTERVAL)
        with suppress(SweepError, OSError):  # the next time may succeed
            refresh(directory)


def runner_elsewhere(directory: SweepDirectory) -> Mapping[str, Any] | None:
    """Who runs the sweep of a local copy on another machine; None if nobody does."""
    with suppress(OSError, ValueError):
        runner: dict[str, Any] = json.loads((directory.root / RUNNER).read_text("utf-8"))
        if time.time() - runner["renewed"] < _ALIVE:
            return runner
    return None


def check_runs_here(directory: SweepDirectory) -> None:
    """Check that requests to a sweep reach it: it is no copy, or this machine runs it.

    Raises:
        InputError: it is a copy.
    """
    remote = remote_runs(directory.root.parent)
    if remote is None or is_locked(directory.lock):
        return
    runner = runner_elsewhere(directory)
    where = f"use the command on {runner['host']}, which runs it" if runner else "resume it first: sweep run"
    raise InputError(f"{directory.name}: is a copy of {remote.url}; {where}")


def _store_runner(root: Path, runner: Mapping[str, Any] | None) -> None:
    if runner is None:
        (root / RUNNER).unlink(missing_ok=True)
    else:
        root.mkdir(parents=True, exist_ok=True)
        (root / RUNNER).write_text(json.dumps(runner), encoding="utf-8")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        return stamp(path)
    except OSError:
        return None


def _tag(info: Mapping[str, Any]) -> str:
    """What differs between two contents of an object."""
    changed = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "mtime", "created") if info.get(key)), ""
    )
    return f"{info.get('size')} {changed}"


def _fetch_file(remote: RemoteRuns, source: str, target: Path) -> None:
    if target.is_dir():
        remove_tree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.tmp")
    try:
        remote.files.get_file(source, str(new))
        if not _append(target, new):
            new.replace(target)
    except FileNotFoundError:  # removed since it was listed
        pass
    finally:
        new.unlink(missing_ok=True)


def _append(target: Path, new: Path) -> bool:
    """Append what is new to a file that has grown, so that readers go on; returns whether it has grown."""
    try:
        size = 0 if target.is_symlink() else target.stat().st_size
    except OSError:
        return False
    if not 0 < size <= new.stat().st_size:
        return False
    with target.open("rb") as old, new.open("rb") as source:
        while block := old.read(1 << 20):
            if source.read(len(block)) != block:
                return False
        with target.open("ab") as file:
            shutil.copyfileobj(source, file)
    return True
