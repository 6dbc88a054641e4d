"""The private parts of Ray on which this package depends, all in one module. Checked with Ray 2.60.

* Finding the cluster to which `address="auto"` refers (`ray._private.services`).
* Switching authentication between token and no token (`ray._raylet`).
* Creating the token of a new cluster (`ray._private.authentication`).
* The folders that Ray puts first on the `sys.path` of workers.
* What tasks wait for (`ray.autoscaler.v2`).
* The thread that prints messages about dead workers, and the names of Ray's daemons.
* The daemons that a Ray for sweeps does not need (`ray._private.node`).
* Facts that Ray reports only in the text or the type of an exception.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import psutil
import ray
from ray._private.authentication.authentication_token_setup import generate_and_save_token
from ray._private.node import Node
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import AuthenticationTokenLoader, Config, GcsClient  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError, OutOfMemoryError, RayActorError, RayError
from ray.job_config import JobConfig

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


def match_authentication(address: str) -> None:
    """From now on, send the user's token to a cluster only if the cluster requires one.

    `ray start` requires a token as soon as any `ray.init` on the machine has created one. `ray.init` with
    HOST:PORT does not send it. But a cluster without a token does not answer clients that expect one: to them
    all actors look dead. So the cluster is asked first. Ray has no public function for any of this.

    Args:
        address: the cluster's address, HOST:PORT.

    Raises:
        ray.exceptions.RayError: the cluster does not answer.
    """
    _set_authentication("disabled")
    try:
        with _no_stderr():  # a client without a token prints a warning
            GcsClient(address=address)
    except AuthenticationError:
        _set_authentication("token")


def provide_token() -> None:
    """Give Ray a token for a new cluster if it can neither read one from the home directory nor create one.

    A container's user may have no home directory, or one that is read-only.
    """
    if "RAY_AUTH_TOKEN" in os.environ or os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return
    with _no_stderr():  # without HOME it prints a warning
        has_token = AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
    if has_token:
        return
    try:
        if not Path.home().is_dir():
            raise FileNotFoundError  # Ray would create it
        generate_and_save_token()
    except (OSError, RuntimeError):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    AuthenticationTokenLoader.instance().reset_cache()


def _set_authentication(mode: str) -> None:
    os.environ["RAY_AUTH_MODE"] = mode
    Config.initialize("")  # reads the environment again
    AuthenticationTokenLoader.instance().reset_cache()


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


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Discard what this process writes to file descriptor 2: Ray's C++ code cannot be silenced otherwise."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(null)
        os.close(saved)


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
        if process.info["name"] == "raylet" and socket in " ".join(process.info["cmdline"] or ())
    ]


def waiting_demands() -> list[Mapping[str, float]]:
    """The resources for which tasks and actors of the cluster wait, one item for each kind of request.

    Ray's state API needs the dashboard. This is what its autoscaler sees, and takes some milliseconds.
    """
    from ray.autoscaler.v2.sdk import get_cluster_status

    demands = get_cluster_status(ray.get_runtime_context().gcs_address).resource_demands
    return [request.bundle for demand in demands.ray_task_actor_demand for request in demand.bundles_by_count]


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


def _start_nothing(*arguments: object, **options: object) -> None:
    """In place of a method of Ray's node that starts a daemon."""


def is_start_timeout(error: Exception) -> bool:
    """Whether `ray.init` raised a bare Exception, because Ray did not start within half a minute."""
    return type(error) is Exception


def cause_of_death(error: RayError) -> tuple[OutcomeKind, str]:
    """Why an actor died, as the kind and the reason of an outcome. Ray's own message is a page of text."""
    if isinstance(error, OutOfMemoryError):
        return "oom", "Ray killed its process because memory ran low"
    if getattr(error, "preempted", False) or "node has died" in str(error):
        return "lost_node", "its machine was lost"
    return "crash", "its process crashed or was killed"


def constructor_error(error: RayActorError) -> str:
    """The exception that an actor's constructor raised: the last line of Ray's message."""
    text = str(error).strip().splitlines()[-1]
    if text.startswith("ModuleNotFoundError: No module named 'sweep"):
        text += "; run `ray start` in the environment in which this package is installed"
    return text


def is_restarted_actor() -> bool:
    """Whether Ray has started this actor again after its process died."""
    with warnings.catch_warnings():  # the property uses something that Ray has deprecated
        warnings.simplefilter("ignore")
        return bool(ray.get_runtime_context().was_current_actor_reconstructed)
