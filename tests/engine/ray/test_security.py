"""Nobody without the token runs code through the Ray of a local sweep, or reaches its sockets."""

from __future__ import annotations

import http.client
import importlib
import os
import pkgutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import psutil
import pytest
import ray.core.generated
import yaml

from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.engine.ray import private_authentication
from sweep.engine.ray.engine import RayEngine
from sweep.errors import SweepStopped
from tests.commands import PATIENCE, sweep_command
from tests.engine.ray.test_faults import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("security")]

CODE = """
import time

def train(trial):
    trial.report(0.0, 0)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """The process of a local sweep whose user has switched Ray's tokens off. It runs in its home."""
    home = tmp_path_factory.mktemp("home")
    (home / "objective.py").write_text(CODE)
    space = {
        "objective": "objective.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
        "stop": {"trials": 1},
    }
    (home / "demo.yaml").write_text(yaml.safe_dump(space))
    environment = {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}
    command = sweep_command("run", "demo.yaml", "--grace", "0")
    with subprocess.Popen(command, env={**environment, "TMPDIR": "/tmp"}, cwd=home) as process:
        wait_for((home / "runs/demo/trial-0000/output.log").exists, PATIENCE)
        yield psutil.Process(process.pid)
        process.terminate()


def listening(process: psutil.Process, kind: str) -> list[psutil._common.pconn]:
    """The sockets of a process and its descendants on which they wait for connections."""
    found = []
    for one in (process, *process.children(recursive=True)):
        found += [item for item in one.net_connections(kind) if kind == "unix" or item.status == "LISTEN"]
    return [item for item in found if item.laddr]


def methods() -> list[str]:
    """The gRPC methods of all of Ray's services."""
    names = [
        f"/ray.rpc.{package}ObjectManagerService/{name}"
        for package in ("", "object_manager.")
        for name in ("Push", "Pull", "FreeObjects")
    ]
    for module in pkgutil.iter_modules(ray.core.generated.__path__):
        if module.name.endswith("_pb2"):
            generated = importlib.import_module(f"ray.core.generated.{module.name}")
            for service in generated.DESCRIPTOR.services_by_name.values():
                names += [f"/{service.full_name}/{method.name}" for method in service.methods]
    return names


def ask(address: str, method: str) -> str:
    """The status with which a server answers a call without a token."""
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=30)
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


def refuses_http(address: str) -> bool:
    """Whether an HTTP server answers each request without a token with 401."""
    for path in ("/get_or_create_runtime_env", "/delete_runtime_env_if_possible", "/get_runtime_envs_info"):
        try:
            urllib.request.urlopen(f"http://{address}{path}", data=b"x", timeout=30)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                continue
        except (OSError, http.client.HTTPException):  # not an HTTP server
            pass
        return False
    return True


INTRUDER = """
import sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
ray.get(ray.remote(lambda: open(sys.argv[2], "w").close()).remote(), timeout=10)
"""


def test_no_open_port_of_a_local_sweep_runs_code_for_somebody_without_its_token(
    running: psutil.Process, tmp_path: Path
) -> None:
    marker = tmp_path / "intruded"
    every = methods()
    assert len(every) > 100
    pickled = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    answered: set[str] = set()
    ports = listening(running, "tcp")
    assert len(ports) >= 6, "the driver, the controller, a worker, and three of Ray's daemons"
    for port in ports:
        host = port.laddr.ip if port.laddr.ip not in ("::", "0.0.0.0") else "127.0.0.1"
        address = f"{host}:{port.laddr.port}"
        for payload in (pickled, b"\x80\x04" + pickled, b"POST / HTTP/1.1\r\n\r\n" + pickled):
            with socket.create_connection((host, port.laddr.port), timeout=30) as connection:
                connection.sendall(payload)
        if refuses_http(address):
            continue
        statuses = {method: ask(address, method) for method in every}
        assert set(statuses.values()) <= {"UNAUTHENTICATED", "UNIMPLEMENTED"}, statuses
        answered |= {method for method, status in statuses.items() if status == "UNAUTHENTICATED"}
    for method in ("CoreWorkerService/PushTask", "NodeManagerService/RequestWorkerLease"):
        assert f"/ray.rpc.{method}" in answered
    gcs = next(
        port
        for process in running.children()
        if process.name() == "gcs_server"
        for port in listening(process, "tcp")
    )
    command = [sys.executable, "-c", INTRUDER, f"127.0.0.1:{gcs.laddr.port}", str(marker)]
    intruders = [
        subprocess.Popen(
            command,
            env={**os.environ, "RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": "0" * 64},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for mode in ("disabled", "token")
    ]
    _, alive = psutil.wait_procs(map(psutil.Process, (one.pid for one in intruders)), 10)
    for process in alive:  # Ray tries for half a minute
        process.kill()
    assert 0 not in [intruder.wait() for intruder in intruders]
    assert not marker.exists()
    assert running.is_running()


def test_other_users_of_the_machine_reach_neither_the_token_nor_the_sockets(
    running: psutil.Process,
) -> None:
    token = Path(running.cwd()) / ".ray/auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    paths = {Path(item.laddr) for item in listening(running, "unix") if "session_" in item.laddr}
    assert {path.name for path in paths} >= {"raylet", "plasma_store"}
    for path in paths:
        private_folder = path.parents[3]
        assert private_folder.name.startswith("ray-")
        assert private_folder.stat().st_mode & 0o777 == 0o700
        assert private_folder.stat().st_uid == os.getuid()
    secret = token.read_text()
    for process in (running, *running.children(recursive=True)):
        assert secret not in " ".join(process.cmdline()), "other users can read it"


def test_a_token_that_others_could_read_is_protected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    (tmp_path / ".ray").mkdir()
    token = tmp_path / ".ray/auth_token"
    token.write_text("a" * 64)
    token.chmod(0o644)
    with private_authentication.required_token():
        assert token.stat().st_mode & 0o777 == 0o600
        assert token.read_text() == "a" * 64


def test_the_users_choice_is_back_after_a_local_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.environ.get("RAY_AUTH_MODE")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    try:
        with private_authentication.required_token():
            assert os.environ["RAY_AUTH_MODE"] == "token"
        assert os.environ["RAY_AUTH_MODE"] == "disabled"
    finally:
        private_authentication.set_authentication(before or "token")


def test_a_sweep_that_joins_a_cluster_without_a_token_prints_one_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[str] = []

    class Watch(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)

    def stop(*_: object) -> None:
        raise SweepStopped("before it starts")

    monkeypatch.setattr("sweep.engine.ray.engine.RayEngine.slots", lambda engine, spec: 1)
    monkeypatch.setattr("sweep.engine.ray.engine.Supervisor", stop)
    sweep: Any = SimpleNamespace(spec=None)
    for has_token in (True, False):
        engine = RayEngine("10.0.0.1:6379")
        engine._cluster.has_token = has_token
        with pytest.raises(SweepStopped):
            engine.run(sweep, Watch(), Interruption(), 0)
    assert len(notes) == 1
    assert "requires no token: everybody who reaches its ports can run code on it" in notes[0]
