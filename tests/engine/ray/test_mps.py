"""NVIDIA's Multi-Process Service, with a stand-in for its daemon."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweep.engine.ray import mps
from sweep.system import gpus, processes
from sweep.system.directory import SweepDirectory
from tests.gpus import device, pretend_gpus

pytestmark = pytest.mark.process

DAEMON = """\
#!/bin/sh
echo "$CUDA_VISIBLE_DEVICES $CUDA_MPS_PIPE_DIRECTORY $1" >> "$FAKE_NVML/started"
setsid sleep 1000 &
echo $! > "$CUDA_MPS_PIPE_DIRECTORY/nvidia-cuda-mps-control.pid"
"""
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a daemon on PATH of a machine with two GPUs, of which this process has the second one."""
    pretend_gpus(tmp_path, [device(0), device(1)], monkeypatch)
    for name in (gpus.VISIBLE, "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def make(script: str) -> None:
        program = tmp_path / "bin" / "nvidia-cuda-mps-control"
        program.parent.mkdir()
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)

    yield make
    processes.terminate(processes.find([directory.root]))
    gpus._library.cache_clear()
    sys.modules.pop("pynvml", None)


def daemons(directory: SweepDirectory) -> list[str]:
    return [process.name() for process in processes.find([directory.root])]


def test_the_workers_on_a_gpu_share_a_daemon_that_ends_with_the_sweep(
    install: Install, directory: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(DAEMON)
    assert mps.use_mps(directory) == ""
    pipes = os.environ["CUDA_MPS_PIPE_DIRECTORY"]
    assert Path(pipes).is_dir()
    assert os.environ[gpus.VISIBLE] == "GPU-1111-aaaa", "the daemon numbers its only GPU 0"
    monkeypatch.setenv(gpus.VISIBLE, "1")
    assert mps.use_mps(directory) == "", "another worker on the same GPU"
    monkeypatch.setenv(gpus.VISIBLE, "0")
    assert mps.use_mps(directory) == ""
    assert os.environ["CUDA_MPS_PIPE_DIRECTORY"] != pipes
    started = [line.split()[0::2] for line in (tmp_path / "started").read_text().splitlines()]
    assert started == [["GPU-1111-aaaa", "-d"], ["GPU-0000-aaaa", "-d"]]
    assert daemons(directory) == ["sleep", "sleep"]
    assert daemons(SweepDirectory(tmp_path / "other")) == [], "they belong to one sweep"
    processes.terminate(processes.find([directory.root]))
    mps.remove_files(directory)
    assert not Path(pipes).exists()


def test_a_daemon_that_was_killed_is_started_again(install: Install, directory: SweepDirectory) -> None:
    install(DAEMON)
    mps.use_mps(directory)
    processes.terminate(processes.find([directory.root]))
    os.environ[gpus.VISIBLE] = "1"
    mps.use_mps(directory)
    assert daemons(directory) == ["sleep"]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("#!/bin/sh\necho no permission >&2\nexit 3\n", "did not start: no permission"),
        ("#!/bin/sh\nexit 3\n", "did not start: exit status 3"),
        ("", "did not start"),
    ],
)
def test_it_is_said_why_no_daemon_runs(
    install: Install, directory: SweepDirectory, script: str, problem: str
) -> None:
    install(script)
    assert problem in mps.use_mps(directory)
    assert os.environ[gpus.VISIBLE] == "1", "the trial runs without it"


def test_it_is_said_that_the_machine_has_no_mps(
    install: Install, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert mps.use_mps(directory) == (
        "resources.mps: has no effect: nvidia-cuda-mps-control is not on PATH; it comes with NVIDIA's driver"
    )
