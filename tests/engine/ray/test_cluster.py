"""The connection to Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import pytest
import ray

from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.engine.ray import cluster as ray_cluster
from sweep.engine.ray.cluster import RayCluster, RayLost
from sweep.engine.ray.engine import RayEngine
from sweep.errors import SweepError
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

with RayCluster(sys.argv[1]):
    print(ray.get(Actor.remote().answer.remote(), timeout=120))
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
            assert (joined.stdout.strip(), joined.stderr) == ("answered", ""), mode
        cluster.communicate("\n", timeout=PATIENCE)
