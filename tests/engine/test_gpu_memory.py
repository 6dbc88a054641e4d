"""The GPU memory of attempts, with a stand-in for NVML."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sweep.engine.gpu_memory import GpuMemoryMeter
from sweep.system import gpus
from tests.gpus import GB, device, pretend_gpus

Pretend = Callable[..., ModuleType]


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretend]:
    """Pretends one GPU."""

    def make(**keys: Any) -> ModuleType:
        nvml = pretend_gpus(tmp_path, [device(0, **keys)], monkeypatch)
        monkeypatch.setenv(gpus.VISIBLE, "0")
        return nvml

    yield make
    gpus._library.cache_clear()
    sys.modules.pop("pynvml", None)


def meter(share: float = 1.0) -> GpuMemoryMeter:
    return GpuMemoryMeter(gpus.visible_gpus(), share)


@pytest.mark.parametrize("hides_pids", [False, True])
def test_the_peak_is_measured_while_an_attempt_runs(pretend: Pretend, hides_pids: bool) -> None:
    nvml = pretend(others=GB, hides_pids=hides_pids)
    memory = meter()
    with memory.measuring():
        nvml.allocate(7 * GB)
        time.sleep(0.3)
        nvml.allocate(2 * GB)
    use = memory.use(None)
    assert use.peak == 7 * GB
    assert use.total == (79 * GB), "others need the rest"
    assert not use.is_exhausted
    with memory.measuring():
        pass
    assert memory.use(None).peak == 2 * GB


def test_of_a_shared_gpu_only_the_own_processes_count(pretend: Pretend) -> None:
    nvml = pretend(others=30 * GB)
    memory = meter(share=0.25)
    with memory.measuring():
        nvml.allocate(5 * GB)
    assert memory.use(None).peak == 5 * GB
    assert memory.use(None).share == 0.25


def test_what_cannot_be_told_apart_is_unknown(pretend: Pretend) -> None:
    nvml = pretend(hides_pids=True)
    memory = meter(share=0.25)
    with memory.measuring():
        nvml.allocate(5 * GB)
    assert memory.use(None).peak is None
    assert memory.leftover() == 0


@pytest.mark.parametrize(
    ("error", "is_exhausted"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("HIP out of memory"), True),
        (MemoryError(), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), False),
        (ValueError("CUDA"), False),
    ],
)
def test_only_lack_of_gpu_memory_counts(pretend: Pretend, error: Exception, is_exhausted: bool) -> None:
    pretend()
    assert meter().use(error).is_exhausted == is_exhausted


def test_memory_that_attempts_give_back_leaves_nothing(pretend: Pretend) -> None:
    nvml = pretend()
    memory = meter()
    for _ in range(5):
        nvml.allocate(20 * GB)
        nvml.allocate(GB // 2)  # the context of CUDA
        assert memory.leftover() == 0


def test_memory_that_the_first_attempt_keeps_is_found(pretend: Pretend) -> None:
    nvml = pretend()
    memory = meter()
    nvml.allocate(3 * GB)
    assert memory.leftover() > GB


def test_memory_that_grows_from_attempt_to_attempt_is_found(pretend: Pretend) -> None:
    nvml = pretend()
    memory = meter()
    left = []
    for attempt in range(5):
        nvml.allocate(GB // 2 + attempt * GB // 10)
        left.append(memory.leftover() > 0)
    assert left == [False, False, False, True, True]


def test_what_the_module_has_loaded_before_the_first_attempt_can_stay(pretend: Pretend) -> None:
    nvml = pretend()
    nvml.allocate(30 * GB)
    memory = meter()
    nvml.allocate(31 * GB)
    assert memory.leftover() == 0


def test_memory_that_the_first_attempt_keeps_on_a_shared_gpu_is_found(pretend: Pretend) -> None:
    nvml = pretend(others=GB)
    memory = meter(share=0.5)
    nvml.allocate(3 * GB)
    assert memory.leftover() > GB
