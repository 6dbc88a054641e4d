"""The private parts of Ray on which this package depends. Checked with Ray 2.60.

Those about the token are in `private_authentication`, those that send folders in `private_packages`.

* Finding the cluster to which `address="auto"` refers (`ray._private.services`).
* The folders that Ray puts first on the `sys.path` of workers.
* What tasks wait for (`ray.autoscaler.v2`).
* Which machines are about to leave the cluster, and that of an actor (`ray._private.state`, `ray._raylet`).
* The thread that prints messages about dead workers, and the names of Ray's daemons.
* Becoming a node of a cluster (`ray._private.node`, `ray._private.parameter`).
* The daemons that a Ray for sweeps does not need (`ray._private.node`).
* What Ray does below `uv run` (`ray._private.ray_constants`).
* Its memory monitor, the memory of containers (`ray._private.utils`), and the titles of workers.
* Whether this machine has GPUs (`ray._private.accelerators`).
* Facts that Ray reports only in the text or the type of an exception.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any, TextIO

import psutil
import ray
from ray._private import ray_constants
from ray._private.accelerators import NvidiaGPUAcceleratorManager
from ray._private.node import Node
from ray._private.services import canonicalize_bootstrap_address_or_die, find_node_ids
from ray._private.utils import get_cgroup_mem_stats
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.exceptions import (
    OutOfMemoryError,
    RayActorError,
    RayError,
    RuntimeEnvSetupError,
)
from ray.job_config import JobConfig
from ray.util.placement_group import PlacementGroup, placement_group_table

from sweep.engine.ray.private_authentication import set_authentication
from sweep.messages import OutcomeKind
from sweep.system.libraries import hides_this_package

_PRINTING_THREAD = "ray_listen_error_messages"
"""The thread that prints a paragraph for each worker that dies, even with `log_to_driver=False`. The outcomes
of the trials contain the reason already."""


def find_running_cluster() -> str:
    """Find the cluster that runs on this machine, as `ray.init(address="auto")` does.

    Returns:
        Its address, HOST:PORT.

    Raises:
        ConnectionError: there is no cluster.
    """
    return str(canonicalize_bootstrap_address_or_die("auto"))


class SafeJobConfig(JobConfig):  # type: ignore[misc]
    """Ray's settings of a job, whose workers can import this package.

    Ray puts the current folder, and that of the script, first on the `sys.path` of workers. They would import
    a `sweep.py` in it. Such a folder is left out; the loader of the objective adds it for its code.
    """

    _py_driver_sys_path: list[str]

    def _serialize(self) -> str:
        self._py_driver_sys_path = [
            folder for folder in self._py_driver_sys_path if not hides_this_package(folder)
        ]
        serialized: str = super()._serialize()
        return serialized


def remove_driver_path() -> None:
    """Remove the folders that Ray has put first on the `sys.path` of this worker. The loader of an objective
    adds those that its code needs, and they hide libraries from nothing else."""
    for folder in _driver_path():
        while folder in sys.path:
            sys.path.remove(folder)


def folder_that_hides_this_package() -> str | None:
    """A folder from which workers of the current connection to Ray would import another `sweep`."""
    return next(filter(hides_this_package, _driver_path()), None)


def _driver_path() -> list[str]:
    return list(ray._private.worker.global_worker.core_worker.get_job_config().py_driver_sys_path)


class _FilteredStdout:
    """A text stream that discards what Ray's thread prints."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name == _PRINTING_THREAD:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def no_death_messages() -> AbstractContextManager[Any]:
    """Discard what Ray prints to stdout about dead workers, while the context is entered."""
    return redirect_stdout(_FilteredStdout(sys.stdout))


def find_daemons(node_id: str | None) -> list[psutil.Process]:
    """Find the Ray daemons on this machine that the connection depends on.

    Args:
        node_id: the node to which this process is connected; None if this process has started Ray.
    """
    if node_id is None:
        return [
            process
            for process in psutil.process_iter(["name", "ppid"])
            if process.info["name"] in ("raylet", "gcs_server") and process.info["ppid"] == os.getpid()
        ]
    socket = next(node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == node_id)
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        # The socket of a second daemon on this machine has the same name with a suffix.
        if process.info["name"] == "raylet"
        and any(argument.endswith(f"={socket}") for argument in process.info["cmdline"] or ())
    ]


def waiting_demands() -> list[Mapping[str, float]]:
    """The resources for which tasks and actors of the cluster wait, one item for each kind of request.

    Ray's state API needs the dashboard. This is what its autoscaler sees, and takes some milliseconds.
    """
    from ray.autoscaler.v2.sdk import get_cluster_status

    demands = get_cluster_status(ray.get_runtime_context().gcs_address).resource_demands
    return [request.bundle for demand in demands.ray_task_actor_demand for request in demand.bundles_by_count]


def draining_nodes() -> dict[str, float]:
    """The machines that are about to leave the cluster, by their Ray node ID, and when each leaves.

    A moment is in seconds since the epoch, infinity if it is unknown. The call takes 0.3 ms, as `ray.nodes`.
    """
    deadlines = ray._private.state.state.get_draining_nodes()
    return {node: moment / 1000 if moment else math.inf for node, moment in deadlines.items()}


def free_resources() -> dict[str, dict[str, float]]:
    """The resources of each machine that nothing holds, by its Ray node ID."""
    free: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
    return free


def has_started(actors: Iterable[Any]) -> bool:
    """Whether the process of one of these actors runs, or one of these placement groups has its resources.

    Ray's state API needs the dashboard.
    """
    return any(
        placement_group_table(actor).get("state") == "CREATED"
        if isinstance(actor, PlacementGroup)
        else ray._private.state.actors(actor._actor_id.hex()).get("State") == "ALIVE"
        for actor in actors
    )


def has_autoscaler() -> bool:
    """Whether an autoscaler adds machines to the cluster while actors wait for them.

    A cluster without one has a process that writes the same status; its machines have no type, or one that
    is named after the machine, and no ID of a cloud.
    """
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

    client = GcsClient(address=str(ray.get_runtime_context().gcs_address))
    reply = GetClusterStatusReply()
    reply.ParseFromString(client.get_cluster_status())
    if reply.autoscaling_state.autoscaler_state_version > 0:  # the newer autoscaler
        nodes = reply.cluster_resource_state.node_states
        return any(node.instance_id or node.ray_node_type_name for node in nodes)
    status = json.loads(client.internal_kv_get(b"__autoscaling_status", None) or b"{}")
    types = (status.get("autoscaler_report") or {}).get("node_type_mapping") or {}
    return any(kind != f"node_{node}" for node, kind in types.items())


def request_drain(address: str, node_id: str, seconds: float) -> str:
    """Ask the cluster to drain a machine, as `ray drain-node` does.

    Returns:
        why the cluster refuses; empty if it does not.
    """
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    deadline = int((time.time() + seconds) * 1000)
    is_accepted, refusal = GcsClient(address=address).drain_node(
        # Ray can refuse the other reason, that a machine is idle.
        node_id,
        DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION,
        "it is about to leave the cluster",
        deadline,
    )
    return "" if is_accepted else str(refusal)


def has_node_here(address: str) -> bool:
    """Whether a node of the cluster runs on this machine, to which `ray.init` can connect."""
    here = find_node_ids()
    nodes = GcsClient(address=address).get_all_node_info().values() if here else ()
    return any(node.node_id.hex() in here for node in nodes)


def join_as_node(address: str, token: str | None, **options: Any) -> Node:
    """Make this machine a node of a cluster, as `ray start --address` does, and return its daemons.

    They exit with this process. Several nodes of one machine do not disturb each other.

    Args:
        address: the cluster's address, HOST:PORT.
        token: the cluster's token; empty if it has none; None if this process uses the right one already.
        options: of Ray's `RayParams`: what the node offers.
    """
    from ray._private.parameter import RayParams
    from ray._private.services import get_node_ip_address

    if token:
        os.environ["RAY_AUTH_TOKEN"] = token
    if token is not None:
        set_authentication("token" if token else "disabled")
    params = RayParams(
        gcs_address=address,
        node_ip_address=get_node_ip_address(address),
        dashboard_agent_listen_port=None,  # any port that is free, as for all others
        min_worker_port=0,
        max_worker_port=0,
        **options,
    )
    with only_needed_daemons():
        return Node(params, head=False, shutdown_at_exit=True, spawn_reaper=True)


_UNNEEDED_DAEMONS = (
    "start_monitor",  # adds and removes machines of a cloud
    "start_log_monitor",  # forwards the output of workers to the driver, which has `log_to_driver=False`
    "start_api_server",  # the dashboard's process, which starts with `include_dashboard=False`, too
)


@contextmanager
def only_needed_daemons() -> Iterator[None]:
    """Inside the block, `ray.init` starts Ray without the daemons that no sweep uses.

    They take 1.6 s of CPU time and a second at shutdown, and `ray.init`, which has no option for them, waits
    for one of them. A later Ray that starts them in another way starts them all.
    """
    replaced = {name: vars(Node)[name] for name in _UNNEEDED_DAEMONS if name in vars(Node)}
    for name in replaced:
        setattr(Node, name, _start_nothing)
    try:
        yield
    finally:
        for name, method in replaced.items():
            setattr(Node, name, method)


@contextmanager
def without_uv() -> Iterator[None]:
    """Inside the block, `ray.init` below `uv run` starts no workers by `uv run`, unless the user wants it.

    It would copy the current folder for them, and refuses one of more than 512 MiB. On this machine, workers
    have the environment of this process without that.
    """
    name = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
    before = getattr(ray_constants, name, None)
    if before and name not in os.environ:
        setattr(ray_constants, name, False)
    try:
        yield
    finally:
        setattr(ray_constants, name, before)


def _start_nothing(*arguments: object, **options: object) -> None:
    """In place of a method of Ray's node that starts a daemon."""


def node_of(actor: Any) -> str | None:
    """The Ray node ID of the machine on which an actor has started, or could not start; None if unknown.

    Ray's state API needs the dashboard, and the exceptions of a failed actor do not name its machine.
    """
    found = ray._private.state.actors(actor._actor_id.hex())
    return found.get("Address", {}).get("NodeID") or None


LOST_NODE = "its machine was lost"
"""The reason of an outcome `lost_node`."""


def switch_memory_monitor_off() -> None:
    """Let a Ray that is started next not kill workers because memory runs out, unless the user wants it."""
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")


_MEMORY_LIMIT = "RAY_memory_usage_threshold"


def memory_limit() -> float:
    """The share of a machine's memory above which processes are killed, as for Ray's own monitor."""
    return float(os.environ.get(_MEMORY_LIMIT, "0.95"))


def runs_method(worker: psutil.Process, name: str) -> bool:
    """Whether a worker is executing a method, by the title that Ray gives it: `ray::Class.method`."""
    return name in worker.name()


def memory_use() -> float:
    """The share of the memory of this machine, or of this container, that is in use."""
    machine = psutil.virtual_memory()
    use = 1 - machine.available / machine.total
    container = get_cgroup_mem_stats()
    return use if container is None else max(use, container[0] / container[1])


def is_start_timeout(error: Exception) -> bool:
    """Whether `ray.init` raised a bare Exception, because Ray did not start within half a minute."""
    return type(error) is Exception


def finds_gpus() -> bool:
    """Whether Ray finds GPUs of NVIDIA on this machine, which it does without `nvidia-ml-py`."""
    return bool(NvidiaGPUAcceleratorManager.get_current_node_num_accelerators() > 0)


def cause_of_death(error: RayError) -> tuple[OutcomeKind, str]:
    """Why an actor died, as the kind and the reason of an outcome. Ray's own message is a page of text."""
    if isinstance(error, OutOfMemoryError):
        return "oom", "Ray killed its process because memory ran low"
    if getattr(error, "preempted", False) or "node has died" in str(error):
        return "lost_node", LOST_NODE
    return "crash", "its process crashed or was killed"


def constructor_error(error: RayActorError) -> str:
    """The exception that an actor's constructor raised: the last line of Ray's message."""
    text = str(error).strip().splitlines()[-1]
    if text.startswith("ModuleNotFoundError: No module named 'sweep"):
        text += "; run `ray start` in the environment in which this package is installed"
    return text


def runtime_env_error(error: RuntimeEnvSetupError) -> str:
    """Why Ray could not set up a runtime environment: pip's last error in its message, or the exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    errors = [line for line in lines if line.startswith("ERROR")] or [
        line for line in lines if "Error: " in line
    ]
    return (errors or lines)[-1][:300]


def is_restarted_actor() -> bool:
    """Whether Ray has started this actor again after its process died."""
    with warnings.catch_warnings():  # the property uses something that Ray has deprecated
        warnings.simplefilter("ignore")
        return bool(ray.get_runtime_context().was_current_actor_reconstructed)
