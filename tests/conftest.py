"""Fixtures for all tests. One Ray instance serves the whole session; it has four simulated GPUs."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from sweep.system import environment
from sweep.system.directory import SweepDirectory
from tests import commands
from tests.commands import PATIENCE
from tests.postgres import Postgres

# A shell ignores SIGINT for what it runs in the background, nohup ignores SIGHUP, and children inherit both:
# `sweep run` would not receive a test's Ctrl-C. A handled signal has its default again in a child.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

# Two test processes share two cores: with two threads each, small models train three times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")

# A slow machine is not a failure. The examples are the same each time, so that a rare failure does not appear
# after an unrelated change; `pytest --hypothesis-profile exploring` looks for new ones.
_PATIENT = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize=True
)
hypothesis.settings.register_profile("patient", _PATIENT)
hypothesis.settings.register_profile("exploring", _PATIENT, derandomize=False, max_examples=1000)
hypothesis.settings.load_profile("patient")

REPOSITORY = Path(__file__).parent.parent


RAY_FIXTURES = {"ray_cluster", "cluster", "joining"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use Ray, and run those that share an instance in the same test process."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & RAY_FIXTURES:
            item.add_marker(pytest.mark.ray)
        if "postgres" in fixtures:
            item.add_marker(pytest.mark.process)
        if "ray_cluster" in fixtures:
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(autouse=True)
def _check_process_marker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that starts a process without the marker, by which `scripts/test --fast` excludes it."""
    if request.node.get_closest_marker("ray") or request.node.get_closest_marker("process"):
        return

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("this test starts a process: mark it with @pytest.mark.process")

    monkeypatch.setattr(
        "sweep.rendering.root_run_updates._FIRST", 1e6
    )  # a slow machine's sweeps would start one
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(commands, "_run_in_fork", refuse)
    monkeypatch.setattr(environment, "with_changes", lambda git: git)  # starts git in each sweep


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray instance that is configured with eight cores and four GPUs."""
    import ray

    start = partial(
        ray.init,
        address="local",
        num_cpus=8,
        num_gpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    threads = os.environ.pop("OMP_NUM_THREADS")  # would count as set by the user
    try:
        start()
    except Exception:  # noqa: BLE001 - Ray gives itself half a minute, which a busy machine may need twice
        start()
    os.environ["OMP_NUM_THREADS"] = threads
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A Ray instance with two cores and two GPUs that another process has started; returns its address."""
    head, address = _start_head()
    if not head:  # Ray's limit is half a minute, and a busy machine may need more
        head, address = _start_head()
    assert head
    yield address
    head.terminate()  # `ray stop` would stop every Ray instance on this machine
    head.wait(PATIENCE)


def _start_head() -> tuple[subprocess.Popen[str] | None, str]:
    """The process of a new Ray, None if it did not start, and its address."""
    while True:  # not one that the system, or Ray for its workers, could assign to another process
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            break
    ray_command = Path(sys.executable).with_name("ray")
    arguments = [f"--port={port}", "--num-cpus=2", "--num-gpus=2", "--include-dashboard=false"]
    head = subprocess.Popen(
        [ray_command, "start", "--head", "--block", *arguments],
        env={**os.environ, "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert head.stdout is not None
    has_started = any("Ray runtime started" in line for line in head.stdout)
    return head if has_started else None, f"127.0.0.1:{port}"


@pytest.fixture
def joining(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands and scripts use a running Ray instance, which takes less time than starting one."""
    monkeypatch.setenv("RAY_ADDRESS", cluster)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of Debian's package."""
    server = Postgres()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    """The empty directory of a sweep named demo."""
    root = tmp_path / "demo"
    root.mkdir()
    return SweepDirectory(root)


MakeSweep = Callable[..., Path]


@pytest.fixture
def make_sweep(project: Path) -> MakeSweep:
    """Writes an objective and its sweep file into the project; returns the sweep file.

    The code is the body of a module with a function `train`; keys are added to, or replace those of, a sweep
    that minimises `loss` over x from 0 to 1 with random sampling in six trials.
    """

    def make(code: str, name: str = "demo", **keys: Any) -> Path:
        (project / f"{name}_objective.py").write_text(textwrap.dedent(code))
        spec = {
            "objective": f"{name}_objective.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "stop": {"trials": 6},
            **keys,
        }
        file = project / f"{name}.yaml"
        file.write_text(yaml.safe_dump(spec, sort_keys=False))
        return file

    return make
