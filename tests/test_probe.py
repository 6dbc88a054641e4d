"""`sweep check --probe`: one trial shows what trials need."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import psutil
import pytest

from sweep.errors import SweepError
from sweep.probe import Probe, probe
from sweep.sweepfile import read_sweep_file
from sweep.system import gpus
from tests.commands import PATIENCE, call
from tests.conftest import MakeSweep
from tests.gpus import FAKE_NVML, GB, device, pretend_gpus


@pytest.mark.parametrize(
    ("used", "resources"),
    [
        ({"cpu": 0.1}, {"cpu": 0.5}),
        ({"cpu": 0.9}, {"cpu": 1}),
        ({"cpu": 1.1}, {"cpu": 1}),
        ({"cpu": 3.4}, {"cpu": 4}),
        ({"cpu": 1, "gpus": 0}, {"cpu": 1}),
        ({"cpu": 1, "gpus": 1, "gpu_memory_gb": 6.0, "gpu_total_gb": 80.0}, {"cpu": 1, "gpu": 0.083}),
        ({"cpu": 1, "gpus": 1, "gpu_memory_gb": 20.0, "gpu_total_gb": 80.0}, {"cpu": 1, "gpu": 0.333}),
        ({"cpu": 1, "gpus": 1, "gpu_memory_gb": 60.0, "gpu_total_gb": 80.0}, {"cpu": 1, "gpu": 1}),
        ({"cpu": 1, "gpus": 1, "gpu_memory_gb": 0.3, "gpu_total_gb": 80.0}, {"cpu": 1, "gpu": 0.062}),
        ({"cpu": 1, "gpus": 4, "gpu_memory_gb": 6.0, "gpu_total_gb": 80.0}, {"cpu": 1, "gpu": 4}),
    ],
)
def test_what_a_trial_used_becomes_its_resources(used: dict[str, float], resources: dict[str, float]) -> None:
    result = Probe(seconds=60.0, finished=False, memory_gb=1.0, **used)  # type: ignore[arg-type]
    assert result.resources == resources
    entry = ", ".join(f"{name}: {amount:g}" for name, amount in resources.items())
    assert f"proposed: resources: {{{entry}}}" in result.lines


def test_a_busy_gpu_is_pointed_out() -> None:
    result = Probe(60.0, False, 1.0, 1.0, 1, gpu_percent=97, gpu_memory_gb=6, gpu_total_gb=80)
    assert "  gpu     6 of 80 GB, busy 97 % of the time" in result.lines
    assert any("slow each other down" in line for line in result.lines)


@pytest.mark.parametrize(
    ("seconds", "finished", "said"), [(1, True, True), (60, True, False), (1, False, False)]
)
def test_a_trial_too_short_to_show_its_cpu_is_pointed_out(seconds: float, finished: bool, said: bool) -> None:
    result = Probe(seconds, finished, cpu=1.0, memory_gb=1.0)
    assert any("import of libraries" in line for line in result.lines) is said


@pytest.mark.process
def test_the_gpu_memory_of_one_trial_is_measured(
    make_sweep: MakeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(tmp_path, [device(0, others=GB, busy=40)], monkeypatch)
    monkeypatch.setenv(gpus.VISIBLE, "0")
    monkeypatch.setenv("PYTHONPATH", str(FAKE_NVML), prepend=os.pathsep)
    file = make_sweep(
        """
        import time, pynvml

        def train(trial):
            assert trial.device == "cpu"  # torch finds no GPU
            pynvml.allocate(30_000_000_000)
            time.sleep(2)
            return 0.0
        """
    )
    result = probe(file, read_sweep_file(file, []).spec, [], limit=PATIENCE)
    gpus._library.cache_clear()
    sys.modules.pop("pynvml", None)
    assert result.finished
    assert (result.gpus, result.gpu_memory_gb, result.gpu_total_gb) == (1, 30, 80)
    assert result.gpu_percent == 40
    assert result.resources["gpu"] == 0.5
    assert not (tmp_path / "runs").exists()


@pytest.mark.process
def test_a_long_trial_is_stopped_with_its_processes(make_sweep: MakeSweep, tmp_path: Path) -> None:
    file = make_sweep(
        """
        import subprocess, time

        def train(trial):
            subprocess.Popen(["sleep", "31415"], start_new_session=True)
            time.sleep(1000)
        """
    )
    began = time.monotonic()
    result = probe(file, read_sweep_file(file, []).spec, [], limit=3)
    assert not result.finished
    assert time.monotonic() - began < PATIENCE
    commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "31415"] not in commands
    assert not any("debug" in (line or []) and str(file) in (line or []) for line in commands)


@pytest.mark.process
def test_a_trial_that_fails_is_an_error(make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial):\n    raise ValueError('no data')\n")
    with pytest.raises(SweepError, match=r"sweep debug .*demo.yaml(.|\n)*no data"):
        probe(file, read_sweep_file(file, []).spec, [], limit=PATIENCE)


@pytest.mark.process
def test_the_command_prints_the_proposal(make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial):\n    return 0.0\n")
    done = call("check", file, "--probe")
    assert re.search(r"^proposed: resources: \{cpu: (0\.5|1)\}$", done.stdout, re.MULTILINE)
    assert not Path("runs").exists()
