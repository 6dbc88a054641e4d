"""`Mirror`: runs a sweep in a local directory, and keeps its copy in an object store up to date."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from sweep.errors import InputError, SweepError
from sweep.system.remote.contents import (
    JOURNAL,
    MANIFEST,
    RUNNER,
    SPEC,
    Record,
    Stamp,
    is_copied,
    local_files,
    stamp,
    unit,
)
from sweep.system.remote.fetch import THREADS, fetch
from sweep.system.remote.store import RemoteRuns, remote_runs

_INTERVAL = 5.0
"""Seconds between two rounds, and between two renewals of the lock."""
_WATCH = 30.0
"""How long the lock of another machine is watched before it counts as left by a killed one, in seconds."""
_BYTES_PER_SECOND = 2e6
"""A file that grows is copied whole each time; a large one so seldom that this rate is not exceeded."""
_LAST_TRIES = 60.0
"""How long the last round is repeated if it fails, in seconds."""

_Notify = Callable[[str], object]


@contextmanager
def mirrored(runs: Path, name: str, fresh: bool, notify: _Notify) -> Iterator[None]:
    """Inside the block, this process runs a sweep, whose copy in an object store is kept up to date.

    Args:
        runs: the folder that contains the sweep. Nothing happens unless it is a copy of a folder in a store.
        name: the sweep's name.
        fresh: whether an existing sweep is to be moved aside, which is refused.
        notify: receives notes for the user.

    Raises:
        InputError: another process runs the sweep.
        SweepError: the store cannot be reached; at the end, the copy could not be completed.
    """
    remote = remote_runs(runs)
    if remote is None:
        yield
        return
    if fresh:
        raise InputError(f"--fresh: cannot move a sweep aside in {remote.url}; use another name: --name NAME")
    mirror = Mirror(remote, runs / name, notify)
    mirror.claim()
    try:
        mirror.keep_lock()
        fetch(remote, runs / name)
        mirror.start()
        try:
            yield
        finally:
            mirror.finish()
    finally:
        mirror.release()


class Mirror:
    """Copies the directory of a running sweep to an object store, in rounds.

    The copy can be used to resume the sweep at any moment. In each round the files are listed first, then the
    journal is copied, which so contains all trials that the list does, then the files, and at last a list of
    all files that are complete. Only what that list contains is ever fetched.

    As long as a large journal is not copied again, nothing is: a resumed sweep would give the numbers of
    trials that its journal does not have to others, which would find their checkpoints.

    Args:
        remote: the folder of sweeps in the store.
        root: the directory of the sweep.
        notify: receives notes for the user.
    """

    def __init__(self, remote: RemoteRuns, root: Path, notify: _Notify) -> None:
        self._remote = remote
        self._root = root
        self._notify = notify
        self._id = secrets.token_hex(8)
        self._record = Record()
        self._due: dict[str, float] = {}
        """When large files that change are copied again, on the monotonic clock."""
        self._listed: set[str] = set()
        """The files in the last complete list."""
        self._is_unlisted = False
        """Whether files have been copied since then."""
        self._stored: set[str] = set()
        """The files in the store, whether they are in that list or left by a round that was interrupted."""
        self._unreadable: dict[str, Stamp] = {}
        """The files that cannot be read, of which the user has been told."""
        self._is_over = threading.Event()
        self._has_lock = True
        self._renewing = threading.Lock()
        self._is_released = threading.Event()
        self._keeper = threading.Thread(target=self._keep_lock, name="sweep-mirror-lock", daemon=True)
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="sweep-mirror", daemon=True)

    def claim(self) -> None:
        """Take the sweep's lock in the store.

        Stores without exclusive creation cannot exclude that two machines take it in the same second. Then
        the one that took it first notices in its next round, and stops.

        Raises:
            InputError: another process runs the sweep.
        """
        place = self._root.name, RUNNER
        if self._remote.create_json(self._runner(), *place):
            return
        holder = self._remote.read_json(*place) or {}
        if holder.get("machine") == _machine() and not psutil.pid_exists(int(holder["process"])):
            self._remote.write_json(self._runner(), *place)
            return
        self._notify(f"waiting up to {_WATCH:g} s to see whether {holder.get('host')} still runs the sweep")
        end = time.monotonic() + _WATCH
        while time.monotonic() < end:
            now = self._remote.read_json(*place)
            if now is not None and now != holder:
                raise InputError(
                    f"{self._root.name}: is already being run on {now['host']} by process {now['process']}; "
                    "watch it with `sweep status`, or stop it there"
                )
            if now is None:
                break
            time.sleep(1)
        self._remote.write_json(self._runner(), *place)

    def keep_lock(self) -> None:
        """Renew the lock until it is released, however long files take."""
        self._keeper.start()

    def _keep_lock(self) -> None:
        while self._has_lock and not self._is_released.wait(_INTERVAL):
            with suppress(SweepError):  # the rounds notify the user
                self._renew()

    def _renew(self) -> None:
        with self._renewing:  # otherwise one thread could read what another has half written
            runner = self._remote.read_json(self._root.name, RUNNER)
            if runner is not None and runner["id"] != self._id:
                self._has_lock = False
            else:
                self._remote.write_json(self._runner(), self._root.name, RUNNER)

    def start(self) -> None:
        self._record = Record.read(self._root)
        manifest = self._remote.read_json(self._root.name, MANIFEST)
        self._listed = set(manifest["files"]) if manifest is not None else set()
        prefix = self._remote.path(self._root.name, "")
        with self._remote.reaching():
            found = [path[len(prefix) :] for path in self._remote.files.find(prefix)]
        self._stored = {name for name in found if is_copied(name)}
        (self._root / RUNNER).unlink(missing_ok=True)  # of the machine that ran it before
        if manifest is not None:
            self._record.is_source, self._record.writers = True, [manifest["writer"]]
            self._record.write(self._root)
        self._thread.start()

    def finish(self) -> None:
        """Copy what is left.

        Raises:
            SweepError: that fails.
        """
        self._is_over.set()
        self._thread.join()
        end = time.monotonic() + _LAST_TRIES
        while self._has_lock:
            try:
                return self._copy(is_last=True)
            except (SweepError, OSError) as error:
                if time.monotonic() >= end:
                    raise SweepError(
                        f"{error}\nthe copy is not complete; everything is in {self._root}, and the same "
                        "command completes the copy"
                    ) from None
                time.sleep(2)

    def release(self) -> None:
        self._is_released.set()
        self._keeper.join()
        with suppress(SweepError):  # another error may be on its way, and a lock that is not renewed expires
            runner = self._remote.read_json(self._root.name, RUNNER)
            if runner is not None and runner["id"] == self._id:
                self._remote.remove(self._root.name, RUNNER)

    def _run(self) -> None:
        while not self._is_over.wait(_INTERVAL):
            try:
                self._copy()
            except (SweepError, OSError) as error:  # OSError: the disk here is full, for example
                if not self._is_failing:
                    self._notify(f"{error}; the sweep continues, and is copied as soon as that is possible")
                self._is_failing = True
            else:
                self._is_failing = False
            if not self._has_lock:
                self._notify(f"another machine has taken over the sweep in {self._remote.url}; stopping")
                os.kill(os.getpid(), signal.SIGINT)
                return

    def _copy(self, is_last: bool = False) -> None:
        """One round."""
        name = self._root.name
        self._renew()
        if not self._has_lock:
            return
        listed = local_files(self._root)
        for each in list(self._unreadable):
            if each not in listed or os.access(self._root / each, os.R_OK):
                del self._unreadable[each]
        if SPEC not in listed:
            return  # it has not started
        if JOURNAL in listed:  # as it is after the last file was found
            listed[JOURNAL] = stamp(self._root / JOURNAL)
        new = [
            each
            for each, found in listed.items()
            if found not in (self._record.stamps.get(each), self._unreadable.get(each))
        ]
        if JOURNAL in new and not (is_last or self._is_due(JOURNAL)):
            return
        changed = [each for each in new if is_last or self._is_due(each)]
        gone = {unit(each) for each in self._unreadable}
        self._is_unlisted |= bool(changed)
        self._upload([each for each in changed if each == JOURNAL], listed, gone)
        self._upload([each for each in changed if each != JOURNAL], listed, gone)
        complete = {each for each in listed if each in self._record.stamps and unit(each) not in gone}
        if self._has_lock and (self._is_unlisted or complete != self._listed):
            self._record.writers, self._record.is_source = [*self._record.writers[:1], self._id], True
            self._record.tags = {}
            self._record.write(self._root)
            self._remote.write_json({"writer": self._id, "files": sorted(complete)}, name, MANIFEST)
            self._record.writers = [self._id]
            self._listed, self._is_unlisted = complete, False
            for each in self._stored - complete:
                self._remote.remove(name, each)
                self._record.stamps.pop(each, None)
            self._stored &= complete

    def _is_due(self, name: str) -> bool:
        return time.monotonic() >= self._due.get(name, 0.0)

    def _upload(self, names: list[str], listed: dict[str, Stamp], gone: set[str]) -> None:
        def upload(each: str) -> None:
            path = self._root / each
            try:
                found = stamp(path)  # not as listed: it can have grown, and is copied as it is now
                self._remote.files.put_file(str(path), self._remote.path(self._root.name, each))
            except FileNotFoundError:
                gone.add(unit(each))
                return
            except PermissionError:
                if os.access(path, os.R_OK):
                    raise  # it is the store that refuses
                # It belongs to another user, for example to root in a container.
                gone.add(unit(each))
                if each not in self._unreadable:
                    self._notify(
                        f"{path} cannot be read, so that {unit(each)} is not copied to {self._remote.url}"
                    )
                self._unreadable[each] = found
                return
            self._record.stamps[each] = found
            self._stored.add(each)
            self._due[each] = time.monotonic() + found[0] / _BYTES_PER_SECOND

        with ThreadPoolExecutor(THREADS) as pool, self._remote.reaching():
            list(pool.map(upload, names))

    def _runner(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "host": socket.gethostname(),
            "machine": _machine(),
            "process": os.getpid(),
            "renewed": time.time(),
        }


def _machine() -> str:
    """What tells this machine from others since it was started."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        boot = str(psutil.boot_time())
    return f"{socket.gethostname()} {boot}"
