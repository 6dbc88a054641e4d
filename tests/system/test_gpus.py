"""The GPUs that a process can use, with a stand-in for NVML."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.system import gpus
from sweep.system.gpus import count_visible, visible_gpus
from tests.gpus import GB, device, pretend_gpus

MIG = [
    {"uuid": "MIG-aaaa-1", "total": 10 * GB, "old": "MIG-GPU-2222-aaaa/7/0"},
    {"uuid": "MIG-bbbb-2", "total": 10 * GB},
]


@pytest.fixture(autouse=True)
def _real_library_afterwards() -> Iterator[None]:
    yield
    gpus._library.cache_clear()
    sys.modules.pop("pynvml", None)


@pytest.fixture
def four_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [device(0), device(1), device(2, mig=MIG), device(3)]
    devices[3]["uuid"] = "GPU-1111-bbbb"
    pretend_gpus(tmp_path, devices, monkeypatch)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-0000-aaaa", "GPU-1111-aaaa", "GPU-2222-aaaa", "GPU-1111-bbbb"]),
        ("2,0", ["GPU-2222-aaaa", "GPU-0000-aaaa"]),
        (" 1 , 2 ", ["GPU-1111-aaaa", "GPU-2222-aaaa"]),
        ("GPU-2222-aaaa", ["GPU-2222-aaaa"]),
        ("GPU-2", ["GPU-2222-aaaa"]),
        ("GPU-1111-b,GPU-0", ["GPU-1111-bbbb", "GPU-0000-aaaa"]),
        ("GPU-1", []),
        ("MIG-aaaa-1,MIG-bbbb-2", ["MIG-aaaa-1", "MIG-bbbb-2"]),
        ("MIG-bb", ["MIG-bbbb-2"]),
        ("MIG-GPU-2222-aaaa/7/0", ["MIG-GPU-2222-aaaa/7/0"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,-1,2", ["GPU-0000-aaaa"]),
        ("0,9,1", ["GPU-0000-aaaa"]),
        ("1,1", ["GPU-1111-aaaa"]),
    ],
)
def test_cuda_visible_devices_names_gpus_in_every_form(
    visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv(gpus.VISIBLE, visible)
    assert [gpu.uuid for gpu in visible_gpus()] == expected
    assert count_visible() == (None if visible is None else len(expected))


def test_memory_and_utilisation_are_those_of_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = pretend_gpus(tmp_path, [device(0, others=GB, busy=70)], monkeypatch)
    monkeypatch.setenv(gpus.VISIBLE, "0")
    nvml.allocate(2 * GB)
    (gpu,) = visible_gpus()
    assert gpu.memory() == (3 * GB, 80 * GB)
    assert gpu.memory_of({os.getpid(), 1}) == 2 * GB
    assert gpu.memory_of({1}) is None
    assert gpu.utilisation() == 70


def test_without_nvml_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    gpus._library.cache_clear()
    assert not gpus.is_known()
    assert visible_gpus() == []
    assert count_visible() is None, "Ray counts them"
    monkeypatch.setenv(gpus.VISIBLE, "MIG-aaaa-1,MIG-bbbb-2")
    assert count_visible() == 2, "Ray would count the GPUs that have these instances"


def test_a_driver_that_answers_nothing_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = pretend_gpus(tmp_path, [device(0)], monkeypatch)
    (gpu,) = visible_gpus()
    for name in ("MemoryInfo", "ComputeRunningProcesses", "UtilizationRates"):
        monkeypatch.delattr(nvml, f"nvmlDeviceGet{name}")
    assert gpu.memory() is None
    assert gpu.memory_of({os.getpid()}) is None
    assert gpu.utilisation() is None
