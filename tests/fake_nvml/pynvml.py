"""A stand-in for NVML's Python module: GPUs that exist only as files in the directory FAKE_NVML.

`gpus.json` lists them. A process allocates memory with `allocate`, which fails as CUDA does if there is not
enough, and appends what is then in use to `log`. What a process has allocated is released at its end.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """An error of NVML."""


def _folder() -> Path:
    return Path(os.environ["FAKE_NVML"])


def _gpus() -> list[dict[str, Any]]:
    try:
        return json.loads((_folder() / "gpus.json").read_text())
    except (KeyError, OSError):
        raise NVMLError("NVML Shared Library Not Found") from None


def nvmlInit() -> None:
    _gpus()


def nvmlDeviceGetCount() -> int:
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:
    return _gpus()[index]


def nvmlDeviceGetHandleByUUID(uuid: str) -> dict[str, Any]:
    for gpu in _gpus():
        for device in (gpu, *gpu.get("mig", ())):
            if uuid in (device["uuid"], device.get("old")):
                return device
    raise NVMLError("Not Found")


def nvmlDeviceGetUUID(device: dict[str, Any]) -> str:
    return device["uuid"]


def nvmlDeviceGetMaxMigDeviceCount(gpu: dict[str, Any]) -> int:
    return 7 if gpu.get("mig") else 0


def nvmlDeviceGetMigDeviceHandleByIndex(gpu: dict[str, Any], index: int) -> dict[str, Any]:
    if index >= len(gpu["mig"]):
        raise NVMLError("Not Found")
    return gpu["mig"][index]


def _used(device: dict[str, Any]) -> dict[int, int]:
    """The bytes in use by process ID."""
    used = {}
    for file in _folder().glob(f"{device['uuid']}.*"):
        pid = int(file.name.rpartition(".")[2])
        if os.path.exists(f"/proc/{pid}"):
            used[pid] = int(file.read_text() or 0)
    return used


def nvmlDeviceGetMemoryInfo(device: dict[str, Any]) -> SimpleNamespace:
    used = device.get("others", 0) + sum(_used(device).values())
    return SimpleNamespace(total=device["total"], used=used, free=device["total"] - used)


def nvmlDeviceGetComputeRunningProcesses(device: dict[str, Any]) -> list[SimpleNamespace]:
    hidden = 1_000_000 if device.get("hides_pids") else 0
    return [SimpleNamespace(pid=pid + hidden, usedGpuMemory=used) for pid, used in _used(device).items()]


def nvmlDeviceGetUtilizationRates(device: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(gpu=device.get("busy", 50), memory=10)


def allocate(number: int) -> None:
    """Have this process use so many bytes of the first GPU that it sees, in all."""
    device = nvmlDeviceGetHandleByIndex(int(os.environ["CUDA_VISIBLE_DEVICES"].split(",")[0]))
    folder, pid = _folder(), os.getpid()
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = sum(used for other, used in _used(device).items() if other != pid)
        count = sum(used > 0 for other, used in _used(device).items() if other != pid) + (number > 0)
        is_enough = device.get("others", 0) + others + number <= device["total"]
        with open(folder / "log", "a") as log:
            print(json.dumps([time.time(), device["uuid"], is_enough, others + number, count]), file=log)
        if is_enough:
            (folder / f"{device['uuid']}.{pid}").write_text(str(number))
    if not is_enough:
        raise RuntimeError("CUDA out of memory. Tried to allocate")
