"""Starting Ray on this machine, or connecting to a running cluster, without output on the terminal."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.caller import caller
from sweep.engine.ray import private
from sweep.engine.ray.temporary import object_store_folder, temporary_folder
from sweep.errors import InputError, SweepError, SweepStopped
from sweep.system import processes
from sweep.system.cpus import usable_cpus
from sweep.system.directory import SweepDirectory

_CONNECT_TIMEOUT = 5.0  # seconds
_KILL_TIMEOUT = 10.0
_RESTART_TIMEOUT = 45.0
_RAY_ERRORS = (ConnectionError, TimeoutError, RuntimeError, ValueError, psutil.Error, ray.exceptions.RayError)
"""The exceptions of `ray.init` if there is no cluster, or Ray cannot run."""

_SLOT_CPU = "sweep_cpu"
"""A resource of a Ray that a sweep has started: its CPUs, for workers."""

_connection_lock = threading.Lock()
"""Held while this process has its own connection to Ray. Ray terminates with the thread that started it, so
threads cannot share it."""


class RayLost(Exception):
    """Ray's daemons on this machine have died."""


class _StartTimeout(SweepError):
    """Ray did not start within its limit of half a minute. A busy machine may need longer."""


class RayCluster:
    """A connection to Ray while the context is entered.

    If this process is already connected, that connection is used and left open.

    Args:
        address: the address of a running cluster (`auto`, `HOST:6379`); None starts Ray on this machine.

    Raises:
        SweepError: on entering, if there is no cluster at that address, or Ray does not start.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._exits = ExitStack()
        self._daemons: list[psutil.Process] = []
        """Ray's daemons on this machine; empty if this process was already connected."""
        self._temporary_folder: str | None = None
        """Where Ray keeps its sockets; None for its default, or for another machine's cluster."""

    def __enter__(self) -> RayCluster:
        with self._exits:
            self._exits.enter_context(private.no_death_messages())
            if _connection_lock.locked() or not ray.is_initialized():
                if not _connection_lock.acquire(blocking=False):
                    raise SweepError(
                        "another thread of this process runs a sweep on its own Ray; call ray.init() first, "
                        "so that all sweeps use that Ray, or run the sweeps one after the other"
                    )
                self._exits.callback(_connection_lock.release)
                if self._address is None:
                    self._temporary_folder = self._exits.enter_context(temporary_folder())
                    private.provide_token()
                try:
                    self._connect_or_clean_up()
                except _StartTimeout:  # two in a row are rare
                    self._connect_or_clean_up()
                self._exits.callback(_shut_down)
            elif (folder := private.folder_that_hides_this_package()) is not None:
                raise InputError(
                    f"{folder}: has another module called sweep, which Ray's workers would import instead of "
                    "this package; rename it, or do not call ray.init: sweep.run starts Ray itself"
                )
            self._exits = self._exits.pop_all()  # nothing has failed: `__exit__` cleans up
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def _connect_or_clean_up(self) -> None:
        """Connect; if that fails or is interrupted, kill what has been started."""
        before = {child.pid for child in processes.descendants()}
        try:
            self._connect()
        except BaseException:
            started = [child for child in processes.descendants() if child.pid not in before]
            processes.terminate(started)
            processes.reap(started)
            raise

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Otherwise Ray warns that a later version will show all GPUs to workers that requested none.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
        try:
            if self._address is not None:
                private.match_authentication(_resolve(self._address))
            with private.only_needed_daemons():
                ray.init(
                    address=self._address or "local",
                    log_to_driver=False,
                    logging_level="ERROR",
                    include_dashboard=None if self._address else False,
                    num_cpus=None if self._address else usable_cpus(),
                    resources=None if self._address else {_SLOT_CPU: usable_cpus()},
                    _temp_dir=self._temporary_folder,
                    _plasma_directory=None if self._address else object_store_folder(self._temporary_folder),
                    job_config=private.SafeJobConfig(),
                )
        except _RAY_ERRORS as error:
            raise SweepError(self._describe(error)) from None
        except Exception as error:
            if private.is_start_timeout(error):
                raise _StartTimeout(self._describe(error)) from None
            raise
        self._daemons = private.find_daemons(None if self._address is None else self.current_node())

    def _describe(self, error: Exception) -> str:
        text = str(error.__cause__ or error).strip()
        if "Traceback" in text:  # the last line is the error that caused it
            text = text.splitlines()[-1]
        text = " ".join(text.split())[:300]
        if self._address:
            return f"the Ray cluster at {self._address} cannot be reached: {text}"
        return f"Ray did not start (is this machine busy?): {text}\ntry again with: {caller().again()}"

    def restart(self) -> None:
        """Start Ray again after its daemons died, or connect to the cluster again.

        Raises:
            SweepError: the connection was not made here, or the cluster cannot be reached.
        """
        if not self._daemons:
            raise SweepStopped("Ray died; start it first")
        end = time.monotonic() + _RESTART_TIMEOUT
        while True:
            _shut_down()
            try:
                return self._connect()
            except SweepError:  # for some time Ray may still return the daemon that died
                if time.monotonic() >= end:
                    raise
                time.sleep(1)

    def is_alive(self) -> bool:
        """Whether Ray's daemons on this machine are alive. Ray itself notices after 15 seconds."""
        return all(processes.is_alive(daemon) for daemon in self._daemons)

    def check_alive(self) -> None:
        """Check Ray's daemons on this machine.

        Raises:
            RayLost: they have died.
        """
        if not self.is_alive():
            raise RayLost

    def machines(self) -> Sequence[Mapping[str, float]]:
        """The resources of each machine of the cluster that is alive."""
        return list(self.machines_by_node().values())

    def machines_by_node(self) -> Mapping[str, Mapping[str, float]]:
        """The resources of each machine of the cluster that is alive, by its Ray node ID."""
        return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}

    def worker_resources(self, cpu: float, gpu: float) -> dict[str, float]:
        """What a worker holds that requires these resources, by Ray's names.

        On a Ray that this process has started, workers do not hold CPUs but as many of another resource. So
        an objective can itself run Ray tasks, which would otherwise wait forever while it waits for them: Ray
        does not lend them the CPU of an actor that waits.
        """
        if all(_SLOT_CPU in machine for machine in self.machines()):
            return {"CPU": 0, "GPU": gpu, _SLOT_CPU: cpu}
        return {"CPU": cpu, "GPU": gpu}

    def cores(self) -> int:
        """The number of CPUs of all machines; at least one."""
        return max(1, int(sum(machine.get("CPU", 0) for machine in self.machines())))

    def cpu_limit(self) -> str:
        """Why Ray has fewer CPUs than this machine, for messages; empty if it has all, or runs elsewhere."""
        usable, all_cpus = usable_cpus(), os.cpu_count() or 1
        if self._address is not None or not self._daemons or usable >= all_cpus:
            return ""
        return (
            f"; this process can use {usable} of the machine's {all_cpus} CPUs (taskset, a container or "
            "Slurm limits it)"
        )

    def gpu_limit(self) -> str:
        """What can hide GPUs of this machine, for messages; empty if nothing does, or Ray runs elsewhere."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if self._address is not None or not self._daemons or visible is None:
            return ""
        return f"; the environment has CUDA_VISIBLE_DEVICES={visible!r}"

    def current_node(self) -> str:
        """The Ray node ID of this machine."""
        return str(ray.get_runtime_context().get_node_id())

    def on_node(self, target: Callable[..., Any], node_id: str, **options: Any) -> Any:
        """Create a Ray task or actor that runs on the given node and requires no resources."""
        strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
        return ray.remote(target).options(num_cpus=0, scheduling_strategy=strategy, **options)

    def kill_leftover_processes(self, directory: SweepDirectory) -> None:
        """Kill the processes of a sweep's run on all machines."""
        _kill_leftover_processes(directory)
        if not self.is_alive():
            return
        here = self.current_node()
        calls = [
            self.on_node(_kill_leftover_processes, node["NodeID"]).remote(directory)
            for node in ray.nodes()
            if node["Alive"] and node["NodeID"] != here
        ]
        if calls:
            ray.wait(calls, num_returns=len(calls), timeout=_KILL_TIMEOUT)


def _kill_leftover_processes(directory: SweepDirectory) -> None:
    processes.terminate(processes.find([directory.root], [directory.fence]))


def _shut_down() -> None:
    with redirect_stdout(io.StringIO()):  # Ray prints repeated messages that it had suppressed
        ray.shutdown()


def _resolve(address: str) -> str:
    """Check that a cluster listens at an address; returns it as HOST:PORT. Ray itself retries for minutes."""
    if address == "auto":
        return private.find_running_cluster()
    is_from_environment = address == os.environ.get("RAY_ADDRESS")
    source = f"RAY_ADDRESS={address}" if is_from_environment else caller().option("address", address)
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():  # http:// is the address for `ray job`
        raise InputError(
            f"{source}: expected auto, or HOST:PORT of a cluster, for example 10.0.0.1:6379; "
            "or local, to start Ray on this machine"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise SweepError(
            f"{source}: the Ray cluster cannot be reached: {error}; `ray start --head` prints the address of "
            "a cluster, local starts Ray on this machine"
        ) from None
    return address
