"""Trials that share GPUs, on pretended ones: Ray assigns them, and a stand-in for NVML says what is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import sweep
from tests.commands import PATIENCE
from tests.conftest import MakeSweep
from tests.gpus import FAKE_NVML, GB, device


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_that_runs_out_of_gpu_memory_gets_a_larger_share(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os, time, ray

        def train(trial):
            share = ray.get_runtime_context().get_assigned_resources().get("GPU")
            with open(f"share-{trial.number}", "a") as file:
                print(share, os.environ["CUDA_VISIBLE_DEVICES"], time.time(), file=file)
            if trial.number == 1 and share < 1:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            time.sleep(0.3)
            with open(f"share-{trial.number}", "a") as file:
                print(share, os.environ["CUDA_VISIBLE_DEVICES"], time.time(), file=file)
            return trial.params.x
        """,
        resources={"cpu": 0.5, "gpu": 0.5},
        stop={"trials": 20},
    )
    result = sweep.run(file)
    assert Counter(trial.state for trial in result.trials) == {"COMPLETE": 20}
    grown = result.trials[1]
    assert grown.attempts == 2
    assert grown.gpu == 1
    assert grown.to_dict()["gpu"] == 1
    assert "gpu" not in result.trials[2].to_dict()
    shares = [float(line.split()[0]) for line in Path("share-1").read_text().splitlines()]
    assert shares == [0.5, 1, 1]
    assert_shares_never_exceed_one(20)


def assert_shares_never_exceed_one(trials: int) -> None:
    """No GPU had more than one at a time of the trials that wrote their share when they began and ended."""
    spans = []
    for number in range(trials):
        first, last = Path(f"share-{number}").read_text().splitlines()[-2:]
        share, gpu, began = first.split()
        spans.append((float(share), gpu, float(began), float(last.split()[2])))
    for _, gpu, moment, _ in spans:
        held = sum(share for share, other, began, ended in spans if other == gpu and began <= moment < ended)
        assert held <= 1 + 1e-6


@pytest.mark.usefixtures("ray_cluster")
def test_with_gpu_auto_as_many_trials_share_a_gpu_as_its_memory_holds(make_sweep: MakeSweep) -> None:
    # As in a container, it is not shown which process uses how much.
    gpus = [device(index, total=10 * GB, hides_pids=True) for index in range(4)]
    Path("gpus.json").write_text(json.dumps(gpus))
    file = make_sweep(
        f"""
        import os, time, pynvml

        def train(trial):
            pynvml.allocate(2_000_000_000)
            time.sleep(0.1)
            try:
                pynvml.allocate(4_100_000_000)
                time.sleep(0.2)
                end = time.monotonic() + {PATIENCE}
                # A worker may take long to start. Until then the trials that share GPUs are waited for.
                while trial.number >= 8 and not has_company() and time.monotonic() < end:
                    time.sleep(0.05)
            finally:
                pynvml.allocate(0)
            return trial.params.x

        def has_company():
            return any(line.endswith(" 2]\\n") for line in open("log"))
        """,
        resources={"cpu": 0.5, "gpu": "auto"},
        env={"PYTHONPATH": str(FAKE_NVML), "FAKE_NVML": str(Path.cwd())},
        stop={"trials": 20},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 20
    log = [json.loads(line) for line in Path("log").read_text().splitlines()]
    assert all(is_enough for _, _, is_enough, _, _ in log)
    assert max(count for *_, count in log) == 2, "of 4.1 GB in 10"
    assert result.study.user_attrs["gpu_sharing"]["largest"] == 4_100_000_000


@pytest.mark.ray
def test_trials_see_only_gpus_that_cuda_visible_devices_lists(make_sweep: MakeSweep) -> None:
    gpus = [device(index) for index in range(4)]
    gpus[2]["mig"] = [{"uuid": "MIG-aaaa", "total": GB}]
    Path("gpus.json").write_text(json.dumps(gpus))
    file = make_sweep(
        """
        import os, time

        def train(trial):
            with open("seen", "a") as file:
                print(os.environ["CUDA_VISIBLE_DEVICES"], file=file)
            end = time.monotonic() + 60
            while len(set(open("seen"))) < 3 and time.monotonic() < end:  # a worker may start late
                time.sleep(0.1)
            return trial.params.x
        """,
        resources={"cpu": 0.1, "gpu": 1},
        stop={"trials": 12},
    )
    # CUDA ignores what follows an invalid entry.
    visible = {"CUDA_VISIBLE_DEVICES": "3,GPU-1111-aaaa,MIG-aaaa,-1,0", "FAKE_NVML": str(Path.cwd())}
    path = os.pathsep.join(filter(None, [str(FAKE_NVML), os.environ.get("PYTHONPATH")]))
    subprocess.run(
        [sys.executable, "-c", f"import sweep; sweep.run({str(file)!r})"],
        env={**os.environ, **visible, "PYTHONPATH": path, "RAY_ADDRESS": "local"},
        check=True,
        timeout=PATIENCE,
    )
    assert set(Path("seen").read_text().split()) == {"3", "GPU-1111-aaaa", "MIG-aaaa"}
