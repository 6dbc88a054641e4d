"""The connection to Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import pytest
import ray
from ray._private.runtime_env import uv_runtime_env_hook
from ray._private.worker import _maybe_modify_runtime_env
from ray.exceptions import RayActorError

from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.engine.ray import address as addresses
from sweep.engine.ray import cluster as ray_cluster
from sweep.engine.ray import private, private_authentication
from sweep.engine.ray.cluster import RayCluster, RayLost
from sweep.engine.ray.engine import RayEngine
from sweep.errors import InputError, SweepError
from tests.commands import PATIENCE


def test_a_second_thread_cannot_start_its_own_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray must not be started"))
    with (
        ray_cluster._connection_lock,
        pytest.raises(SweepError, match=r"another thread .* call ray.init\(\) first"),
    ):
        RayCluster(None).__enter__()


@pytest.mark.parametrize("error", [Exception, TimeoutError, RuntimeError])
def test_a_ray_that_does_not_start_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    calls = []

    def init(**_: object) -> None:
        calls.append("init")
        raise error("The current node timed out during startup. This\ncould happen")

    # Another test may have started Ray in this process.
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SweepError) as found:
        RayCluster(None).__enter__()
    assert str(found.value) == (
        "Ray did not start (is this machine busy?): The current node timed out during startup. "
        "This could happen\ntry again with: sweep.run(..., name=...)"
    )
    assert found.value.exit_status == 1
    assert len(calls) == (2 if error is Exception else 1), (
        "only its own timeout of half a minute is worth a second try"
    )


@pytest.mark.parametrize("is_remembered", [False, True])
def test_joining_the_running_ray_is_one_error_at_once_if_none_is_running(
    monkeypatch: pytest.MonkeyPatch, is_remembered: bool
) -> None:
    def find(address: str) -> str:
        if is_remembered:  # Ray keeps the address of one that was killed in a file
            return "127.0.0.1:1"
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(private, "canonicalize_bootstrap_address_or_die", find)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray retries for minutes"))
    with pytest.raises(InputError) as found:
        RayCluster("auto").__enter__()
    assert str(found.value) == (
        "address='auto': no Ray is running on this machine; start one with: ray start --head; or leave the "
        "address out, to start Ray for this sweep alone"
    )


def test_the_ray_of_another_sweep_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [{"node:__internal_head__": 1.0, "CPU": 2.0, "sweep_cpu": 2.0}]
    shut_down = Mock()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", shut_down)
    monkeypatch.setattr(RayCluster, "_connect", lambda cluster: None)
    monkeypatch.setattr(RayCluster, "machines", lambda cluster: machines)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match="address='auto': is the Ray of a running sweep, which ends with"):
        RayCluster("auto").__enter__()
    assert shut_down.called
    del machines[0]["sweep_cpu"]
    with RayCluster("auto"):
        pass


def test_a_sweep_that_has_joined_the_running_ray_does_not_change_to_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(private, "find_running_cluster", Mock(side_effect=["10.0.0.1:1", "10.0.0.2:2"]))
    monkeypatch.setattr(private_authentication, "match_authentication", lambda address: None)
    monkeypatch.setattr(private, "find_daemons", lambda node_id: [Mock()])
    monkeypatch.setattr(private, "has_node_here", lambda address: True)
    monkeypatch.setattr(addresses, "_check_listens", lambda host, port: None)
    monkeypatch.setattr(ray, "init", lambda address, **_: joined.append(address))
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # other tests use the Ray of this process
    monkeypatch.setattr(RayCluster, "current_node", lambda cluster: "node")
    cluster = RayCluster("auto")
    cluster._connect()
    cluster.restart()
    assert joined == ["10.0.0.1:1", "10.0.0.1:1"]


@pytest.mark.parametrize("client", ["ray://head:10001", "ray://head"])
def test_the_address_of_a_client_server_stands_for_its_cluster(
    monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    listening = []

    def listens(host: str, port: str) -> None:
        if (host, port) not in listening:
            raise ConnectionRefusedError

    monkeypatch.setattr(addresses, "_check_listens", listens)
    with pytest.raises(InputError, match="no cluster answers at head:6379; write the HOST:PORT that"):
        addresses.resolve(client)
    listening.append(("head", "6379"))
    assert addresses.resolve(client) == "head:6379"


@pytest.mark.parametrize("name", ["sweep", "sweep.engine", "numpy"])
def test_a_ray_of_another_environment_is_an_error_that_says_what_to_do(name: str) -> None:
    text = f"ModuleNotFoundError: No module named '{name}'"
    error = RayActorError()
    error.error_msg = f"The actor died because of an error raised in its creation task.\n{text}\n"
    advice = "; run `ray start` in the environment in which this package is installed"
    assert private.constructor_error(error) == text + (advice if name.startswith("sweep") else "")


class _Node:
    """A later Ray's class, in which two methods have new names."""

    def start_monitor(self, *arguments: object) -> str:
        return "started"

    def start_other(self) -> str:
        return "started"


def test_a_later_ray_that_starts_its_daemons_in_another_way_starts_those_daemons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(private, "Node", _Node)
    node = _Node()
    with private.only_needed_daemons():
        assert node.start_monitor("a", "b") is None
        assert node.start_other() == "started"
        assert not hasattr(node, "start_log_monitor")
    assert node.start_monitor("a", "b") == "started"


@pytest.mark.parametrize("wanted", [False, True])
def test_below_uv_run_ray_copies_the_folder_for_workers_only_if_the_user_asks_for_it(
    wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uv_runtime_env_hook, "_get_uv_run_cmdline", lambda: ["uv", "run", "sweep"])
    if wanted:
        monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "1")
    with private.without_uv():
        runtime_env = _maybe_modify_runtime_env({}, _skip_env_hook=False)
    assert ("working_dir" in runtime_env) == wanted
    assert "working_dir" in _maybe_modify_runtime_env({}, _skip_env_hook=False)


def test_ray_is_started_again_after_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Exception("The current node timed out during startup."), None]

    def init(**_: object) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with RayCluster(None):
        assert not answers


def test_a_bug_is_not_reported_as_an_error_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: {}["a bug"])
    with pytest.raises(KeyError):
        RayCluster(None).__enter__()


def test_sigterm_while_ray_is_being_restarted_stops_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    progress = Mock(finished=3)

    class Lost:
        def __init__(self, *_: object) -> None:
            self.progress = progress

        def run(self, *_: object) -> None:
            raise RayLost

        def shut_down(self) -> None: ...

    def restart(cluster: RayCluster) -> None:
        raise SystemExit(15)  # as Ray's SIGTERM handler does

    monkeypatch.setattr("sweep.engine.ray.engine.Supervisor", Lost)
    monkeypatch.setattr(RayEngine, "slots", lambda *_: 1)
    monkeypatch.setattr(RayCluster, "restart", restart)
    interruption = Interruption()
    assert RayEngine().run(Mock(), Observer(), interruption, 1.0) is progress
    assert interruption.signal == signal.SIGTERM


_LIST_DAEMONS = """
import psutil
import ray
from sweep.engine.ray.cluster import RayCluster

class Actor:
    def answer(self):
        return 1

with RayCluster(None) as cluster:
    actor = cluster.on_node(Actor, cluster.current_node()).remote()
    print("an actor:", ray.get(actor.answer.remote()))
    for daemon in psutil.Process().children(recursive=True):
        print(*daemon.cmdline())
"""


@pytest.mark.ray
def test_the_ray_of_a_sweep_has_no_daemon_that_sweeps_do_not_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIST_DAEMONS],
        env={**os.environ, "RAY_AUTH_MODE": "token", "RAY_ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "raylet" in done.stdout, done.stderr
    for unneeded in ("monitor.py", "log_monitor.py", "dashboard.py"):
        assert unneeded not in done.stdout
    assert "an actor: 1" in done.stdout


_CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster()
try:
    cluster.add_node(num_cpus=1, include_dashboard=False)
except Exception:  # Ray's timeout of half a minute, too short for a busy machine
    cluster.add_node(num_cpus=1, include_dashboard=False)
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""
_JOIN = """
import sys
import ray
from sweep.engine.ray.cluster import RayCluster, RayLost

@ray.remote(num_cpus=0)
class Actor:
    def answer(self):
        return "answered"

with RayCluster(sys.argv[1]) as cluster:
    print(ray.get(Actor.remote().answer.remote(), timeout=120), cluster.has_token)
"""


@pytest.mark.process
@pytest.mark.parametrize("of_cluster", ["token", "disabled"])
def test_clusters_with_and_without_a_token_are_joined_whatever_ray_auth_mode_is(of_cluster: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CLUSTER],
        env={**os.environ, "RAY_AUTH_MODE": of_cluster},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        address = next(line.strip() for line in cluster.stdout if line[:1].isdigit() and line.count(":") == 1)
        for mode in ("token", "disabled", None):
            environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
            joined = subprocess.run(
                [sys.executable, "-c", _JOIN, address],
                env=environment if mode is None else {**environment, "RAY_AUTH_MODE": mode},
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
            )
            assert (joined.stdout.strip(), joined.stderr) == (f"answered {of_cluster == 'token'}", ""), mode
        cluster.communicate("\n", timeout=PATIENCE)
