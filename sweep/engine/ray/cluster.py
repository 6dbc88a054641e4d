"""Starting Ray on this machine, or connecting to a running cluster, without output on the terminal."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.caller import caller
from sweep.engine.ray import private, private_authentication
from sweep.engine.ray.address import START_ONE, resolve, source_of
from sweep.engine.ray.mps import remove_files as remove_mps_files
from sweep.engine.ray.resources import NODE_ID_LABEL, WorkerResources, gpu_for_ray
from sweep.engine.ray.temporary import object_store_folder, temporary_folder
from sweep.engine.transfer.local import clean_up_machine
from sweep.errors import InputError, SweepError, SweepStopped
from sweep.sweepfile.cluster_entries import matches
from sweep.system import processes
from sweep.system.cpus import usable_cpus
from sweep.system.directory import SweepDirectory
from sweep.system.gpus import count_visible, is_known

_KILL_TIMEOUT = 10.0  # seconds
_RESTART_TIMEOUT = 45.0
_RAY_ERRORS = (ConnectionError, TimeoutError, RuntimeError, ValueError, psutil.Error, ray.exceptions.RayError)
"""The exceptions of `ray.init` if there is no cluster, or Ray cannot run."""

SLOT_CPU = "sweep_cpu"
"""A resource of a Ray that a sweep has started: its CPUs, for workers."""
_LOGIN_NODE = "sweep_login_node"
"""A resource of this machine in a Ray whose workers run elsewhere, in Slurm jobs."""
NODE_IP = "SWEEP_NODE_IP"
"""Environment variable: the address of a login node that its jobs can reach, if it has several. Ray takes
that of the default route, which can lead out of the cluster."""
_SOME_CPU = 0.0001
"""What a worker holds there that requires no CPU: the login node does not have as much."""

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
        address: the address of a running cluster (`auto`, `HOST:6379`, `ray://HOST:10001`); None starts Ray
            on this machine.
        is_login_node: whether no trial may run on this machine: its Ray waits for others to join.

    Attributes:
        has_token: whether the cluster is known to require a token, or this process was already connected.
        left_out: Ray's IDs of the machines on which no more workers start.

    Raises:
        SweepError: on entering, if there is no cluster at that address, or Ray does not start.
    """

    def __init__(self, address: str | None, is_login_node: bool = False) -> None:
        self._address = address
        self._is_login_node = is_login_node
        self._exits = ExitStack()
        self._daemons: list[psutil.Process] = []
        """Ray's daemons on this machine; empty if this process was already connected."""
        self.has_token = True
        self.left_out: set[str] = set()
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
                    self._exits.enter_context(private_authentication.required_token())
                try:
                    self._connect_or_clean_up()
                except _StartTimeout:  # two in a row are rare
                    self._connect_or_clean_up()
                self._exits.callback(_shut_down)
                if self._address is not None and self._is_of_a_sweep():
                    raise InputError(
                        f"{source_of(self._address)}: is the Ray of a running sweep, which ends with it; "
                        f"{START_ONE}"
                    )
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
        if self._address is None:
            private.switch_memory_monitor_off()  # `MemoryWatch` is in its place
        try:
            if self._address is not None:
                self._address = resolve(self._address)  # of several that run, it stays this one
                self.has_token = private_authentication.match_authentication(self._address)
                self._join_if_outside()
            # On a cluster `uv run` may be what gives other machines the packages.
            uv = nullcontext() if self._address else private.without_uv()
            with private.only_needed_daemons(), uv:
                ray.init(
                    address=self._address or "local",
                    log_to_driver=False,
                    logging_level="ERROR",
                    include_dashboard=None if self._address else False,
                    **self._own_resources(),
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

    def _join_if_outside(self) -> None:
        """Make this machine a node of the cluster that runs no trials, if it is not one: drivers need one."""
        assert self._address is not None
        if private.has_node_here(self._address):
            return
        folder = self._exits.enter_context(temporary_folder())
        node = private.join_as_node(
            self._address,
            None,
            num_cpus=0,
            num_gpus=0,
            temp_dir=folder,
            plasma_directory=object_store_folder(folder),
        )
        self._exits.callback(node.kill_all_processes, check_alive=False, allow_graceful=False)

    def _own_resources(self) -> dict[str, Any]:
        """What this machine offers if Ray is started on it, as options of `ray.init`."""
        if self._address is not None:
            return {}
        if self._is_login_node:
            own = {"num_cpus": 0, "num_gpus": 0, "resources": {_LOGIN_NODE: 1}}
            return {**own, "_node_ip_address": os.environ.get(NODE_IP)}
        cpus = usable_cpus()
        return {"num_cpus": cpus, "num_gpus": _count_gpus(), "resources": {SLOT_CPU: cpus}}

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

    def machines(self, selectors: Mapping[str, str] | None = None) -> Sequence[Mapping[str, float]]:
        """The resources of each machine of the cluster that is alive.

        Args:
            selectors: leave out machines without these labels, and machines on which no more workers start.
        """
        return list(self.machines_by_node(selectors).values())

    def machines_by_node(
        self, selectors: Mapping[str, str] | None = None
    ) -> Mapping[str, Mapping[str, float]]:
        """The resources of each machine of the cluster that is alive, by its Ray node ID.

        Args:
            selectors: leave out machines without these labels, and machines on which no more workers start.
        """
        alive = [node for node in ray.nodes() if node["Alive"]]
        if selectors is not None:
            unused = {*self.leaving_nodes(), *self.left_out}
            alive = [
                node for node in alive if node["NodeID"] not in unused and matches(node["Labels"], selectors)
            ]
        return {node["NodeID"]: node["Resources"] for node in alive}

    def grows(self) -> bool:
        """Whether an autoscaler adds machines while workers wait for them."""
        if self._address is None:
            return False
        try:
            return private.has_autoscaler()
        except Exception:  # noqa: BLE001 - of private parts of Ray; most clusters have none
            return False

    def free_resources(self) -> Mapping[str, Mapping[str, float]]:
        """The resources of each machine that nothing holds, by its Ray node ID."""
        return private.free_resources()

    def leaving_nodes(self) -> Mapping[str, float]:
        """The machines that are about to leave the cluster, by their Ray node ID, and when each leaves, in
        seconds since the epoch."""
        return private.draining_nodes()

    def leave_out(self, node_id: str) -> str:
        """Start no more workers on a machine; returns its name."""
        self.left_out.add(node_id)
        return next(
            (node["NodeManagerHostname"] for node in ray.nodes() if node["NodeID"] == node_id), node_id
        )

    def selectors(self, resources: WorkerResources) -> dict[str, str]:
        """The label selectors of the machines on which a worker can start, for Ray."""
        if not self.left_out:
            return dict(resources.labels)
        return {**resources.labels, NODE_ID_LABEL: f"!in({', '.join(sorted(self.left_out))})"}

    def labels(self) -> Sequence[Mapping[str, str]]:
        """The labels of each machine of the cluster that is alive."""
        return [node["Labels"] for node in ray.nodes() if node["Alive"]]

    def ray_resources(self, resources: WorkerResources) -> dict[str, float]:
        """What a worker holds, by Ray's names.

        On a Ray that this process has started, workers do not hold CPUs but as many of another resource. So
        an objective can itself run Ray tasks, which would otherwise wait forever while it waits for them: Ray
        does not lend them the CPU of an actor that waits.
        """
        held = {**resources.by_name, "GPU": gpu_for_ray(resources.gpu, self.machines(resources.labels))}
        if self._is_of_a_sweep():
            cpu = max(resources.cpu, _SOME_CPU) if self._is_login_node else resources.cpu
            held |= {"CPU": 0, SLOT_CPU: cpu}
        return held

    def _is_of_a_sweep(self) -> bool:
        """Whether a sweep has started this Ray, for itself alone."""
        return all(SLOT_CPU in machine or _LOGIN_NODE in machine for machine in self.machines())

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

    def custom_limit(self, custom: Mapping[str, float]) -> str:
        """How machines get custom resources, for messages; empty if none are required."""
        if not custom:
            return ""
        start = f"ray start --resources='{json.dumps(dict(custom))}'"
        if self._address is None and self._daemons:
            start += " --head, and join it with --address auto"
        return f"; machines are given custom resources with {start}"

    def current_node(self) -> str:
        """The Ray node ID of this machine."""
        return str(ray.get_runtime_context().get_node_id())

    def on_node(self, target: Callable[..., Any], node_id: str, **options: Any) -> Any:
        """Create a Ray task or actor that runs on the given node and requires no resources."""
        strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
        return ray.remote(target).options(num_cpus=0, scheduling_strategy=strategy, **options)

    def kill_leftover_processes(self, directory: SweepDirectory) -> None:
        """Kill the processes of a sweep's run on all machines, and remove its folders there."""
        host = socket.gethostname()
        _clean_up(directory, host)
        if not self.is_alive():
            return
        here = self.current_node()
        calls = [
            self.on_node(_clean_up, node["NodeID"]).remote(directory, host)
            for node in ray.nodes()
            if node["Alive"] and node["NodeID"] != here
        ]
        if calls:
            ray.wait(calls, num_returns=len(calls), timeout=_KILL_TIMEOUT)


def _count_gpus() -> int | None:
    """How many GPUs Ray is to have on this machine; None to let it count them.

    Ray counts GPUs and not their MIG instances, and entries of CUDA_VISIBLE_DEVICES that CUDA ignores.
    """
    count = count_visible()
    return count if count is None or is_known() or private.finds_gpus() else None


def _clean_up(directory: SweepDirectory, host: str) -> None:
    clean_up_machine(directory, host)
    remove_mps_files(directory)


def _shut_down() -> None:
    with redirect_stdout(io.StringIO()):  # Ray prints repeated messages that it had suppressed
        ray.shutdown()
