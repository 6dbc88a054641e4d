"""Starting Ray on this machine, or joining one that runs, without a word on the terminal."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from types import TracebackType
from typing import Any

import psutil
import ray
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.engine.ray.auth import match_token_mode
from sweep.engine.ray.stdio import quiet_ray
from sweep.errors import InputError, SweepError
from sweep.system import processes
from sweep.system.directory import SweepDirectory

_SECONDS_TO_ANSWER = 5.0
_SECONDS_TO_END = 10.0
_SECONDS_TO_RETURN = 45.0
_ITS_ERRORS = (ConnectionError, TimeoutError, RuntimeError, ValueError, ray.exceptions.RayError)
"""What `ray.init` raises if there is no cluster, or Ray cannot run."""


_ours = threading.Lock()
"""Held while the connection of this process is ours. Ray dies with the thread that started it, so no other
thread can share it."""


@contextmanager
def _hold(lock: threading.Lock) -> Iterator[None]:
    if not lock.acquire(blocking=False):
        raise SweepError(
            "another thread of this process runs a sweep on a Ray of its own; call ray.init() first, and all "
            "sweeps share that, or run them one after the other"
        )
    try:
        yield
    finally:
        lock.release()


class _TooSlow(SweepError):
    """Ray gives itself half a minute to start. A busy machine may need longer, but seldom twice."""


def _connect_or_clean_up(connect: Callable[[], None]) -> None:
    """Whatever goes wrong, or whoever interrupts: nothing that was started meanwhile is left behind."""
    before = {child.pid for child in processes.descendants()}
    try:
        connect()
    except BaseException:
        left = [child for child in processes.descendants() if child.pid not in before]
        processes.terminate(left)
        processes.reap(left)
        raise


class RayCluster:
    """A connection to Ray for as long as it is entered.

    If this process is connected already, that connection is used and left open.

    Args:
        address: of a running cluster (`auto`, `HOST:6379`); None starts Ray on this machine.

    Raises:
        SweepError: on entering, if there is no cluster at that address, or Ray does not start.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._exits = ExitStack()
        self._daemons: list[psutil.Process] = []
        """Ray's own processes on this machine, if the connection is ours."""

    def __enter__(self) -> RayCluster:
        with self._exits:
            self._exits.enter_context(quiet_ray())
            if _ours.locked() or not ray.is_initialized():
                self._exits.enter_context(_hold(_ours))
                try:
                    _connect_or_clean_up(self._connect)
                except _TooSlow:
                    _connect_or_clean_up(self._connect)
                self._exits.callback(_shut_down)
            self._exits = self._exits.pop_all()  # nothing went wrong: it is all undone in __exit__
        return self

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Without it Ray announces that it will one day show all GPUs to trials that asked for none.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
        try:
            if self._address is not None:
                match_token_mode(_find(self._address))
            ray.init(
                address=self._address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                include_dashboard=None if self._address else False,
            )
        except _ITS_ERRORS as error:
            raise SweepError(self._complaint(error)) from None
        except Exception as error:
            if type(error) is not Exception:  # so Ray says that it was too slow; others are bugs
                raise
            raise _TooSlow(self._complaint(error)) from None
        self._daemons = _started_daemons() if self._address is None else _raylet(self.node())

    def _complaint(self, error: Exception) -> str:
        text = str(error.__cause__ or error).strip()
        if "Traceback" in text:  # Ray's message ends with the error behind it
            text = text.splitlines()[-1]
        text = " ".join(text.split())[:300]
        if self._address:
            return f"the Ray cluster at {self._address} cannot be reached: {text}"
        return f"Ray did not start (is this machine busy?); the same command tries again: {text}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def restart(self) -> None:
        """Start Ray again after it died, or join the cluster again.

        Raises:
            SweepError: it is not ours to start, or cannot be reached.
        """
        if not self._daemons:
            raise SweepError("Ray died; the same command goes on once it runs again")
        end = time.monotonic() + _SECONDS_TO_RETURN
        while True:
            _shut_down()
            try:
                return self._connect()
            except SweepError:  # for a while Ray may still send us to the daemon that died
                if time.monotonic() >= end:
                    raise
                time.sleep(1)

    def is_alive(self) -> bool:
        """Whether Ray's daemons on this machine live. Ray itself finds out after a quarter of a minute."""
        return all(processes.is_alive(daemon) for daemon in self._daemons)

    def machines(self) -> Sequence[Mapping[str, float]]:
        """The resources of each machine that is alive."""
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def cores(self) -> int:
        """How many there are on all machines; at least one."""
        return max(1, int(sum(machine.get("CPU", 0) for machine in self.machines())))

    def node(self) -> str:
        """Ray's word for this machine."""
        return str(ray.get_runtime_context().get_node_id())

    def on_node(self, node: str) -> Any:
        """A scheduling strategy that keeps an actor or a task on a machine."""
        return NodeAffinitySchedulingStrategy(node, soft=False)

    def end_processes(self, directory: SweepDirectory) -> None:
        """End all that is left of a run of a sweep, on all machines."""
        _end_processes(directory)
        if not self.is_alive():
            return
        here = self.node()
        others = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
        end = ray.remote(_end_processes)
        calls = [
            end.options(num_cpus=0, scheduling_strategy=self.on_node(node)).remote(directory)
            for node in others
        ]
        if calls:
            ray.wait(calls, num_returns=len(calls), timeout=_SECONDS_TO_END)


def _end_processes(directory: SweepDirectory) -> None:
    processes.terminate(processes.find([directory.root], [directory.fence]))


def _started_daemons() -> list[psutil.Process]:
    """What `ray.init` has started that it cannot do without."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.name() in ("raylet", "gcs_server"):
                found.append(child)
    return found


def _raylet(node: str) -> list[psutil.Process]:
    """The daemon of a node, if it runs on this machine."""
    name = next((known["RayletSocketName"] for known in ray.nodes() if known["NodeID"] == node), None)
    found = []
    for process in psutil.process_iter() if name else ():
        with suppress(psutil.Error):
            if process.name() == "raylet" and any(str(name) in word for word in process.cmdline()):
                found.append(process)
    return found


def _shut_down() -> None:
    # At its end Ray prints what it had held back of what it says over and over.
    with redirect_stdout(io.StringIO()):
        ray.shutdown()


def _find(address: str) -> str:
    """Where a cluster listens, as HOST:PORT. Somebody does: Ray itself would try for minutes, and warn."""
    if address == "auto":
        return str(canonicalize_bootstrap_address_or_die(address))
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():  # http:// is what `ray job` talks to
        raise InputError(
            f"{_source(address)}: expected auto, or HOST:PORT of a cluster, for example 10.0.0.1:6379; "
            "or local, to start Ray on this machine"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise SweepError(
            f"{_source(address)}: the Ray cluster cannot be reached: {error}; "
            "`ray start --head` says at which address it listens, local starts Ray on this machine"
        ) from None
    return address


def _source(address: str) -> str:
    """Where an address comes from, and what it is."""
    is_ours = address != os.environ.get("RAY_ADDRESS")
    return f"--address {address}" if is_ours else f"RAY_ADDRESS={address}"
