"""NVIDIA GPUs of this machine as NVML shows them: which a process can use, their memory, their utilisation.

Needs `nvidia-ml-py` (the extra `gpu`) and NVIDIA's driver. Without them, and where the driver does not answer
a question, nothing is known: no function here raises an exception.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sweep.system.libraries import import_as_user

VISIBLE = "CUDA_VISIBLE_DEVICES"
_NO_DEVICES = "NoDevFiles"
"""The value with which Slurm and others show no device."""


class GpuMemory(NamedTuple):
    """The memory of a GPU in bytes: what all processes use together, and all of it."""

    used: int
    total: int


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one.

    Args:
        uuid: NVML's identifier, such as `GPU-1f2e...` or `MIG-...`; its index as a string if it has none.
        handle: NVML's handle.
    """

    uuid: str
    handle: Any

    def memory(self) -> GpuMemory | None:
        """What is used of its memory; None if that is unknown."""
        found = _ask("nvmlDeviceGetMemoryInfo", self.handle)
        return None if found is None else GpuMemory(int(found.used), int(found.total))

    def memory_of(self, pids: Collection[int]) -> int | None:
        """The bytes that some processes use.

        Returns:
            None if none of them is in NVML's list. That is so before they use CUDA, but also always in a
            container whose process numbers are not those of the machine.
        """
        processes = _ask("nvmlDeviceGetComputeRunningProcesses", self.handle) or []
        used = [process.usedGpuMemory for process in processes if process.pid in pids]
        return sum(used) if used and None not in used else None

    def utilisation(self) -> float | None:
        """The percentage of the last moments in which a kernel ran; MIG instances have none."""
        found = _ask("nvmlDeviceGetUtilizationRates", self.handle)
        return None if found is None else float(found.gpu)


@cache
def _library() -> Any | None:
    """NVML's Python module, initialized; None if it or the driver is missing."""
    try:
        pynvml = import_as_user("pynvml")  # also one that stands in for it on the user's path
        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - ImportError, or one of NVML's many errors
        return None
    return pynvml


def _ask(function: str, *arguments: Any) -> Any | None:
    """Call a function of NVML; None if the GPU or the driver does not support it."""
    with suppress(Exception):
        return getattr(_library(), function)(*arguments)
    return None


def is_known() -> bool:
    """Whether NVML can be asked."""
    return _library() is not None


def visible_gpus() -> list[Gpu]:
    """The GPUs that this process can use, in CUDA's order: `trial.device` is the first of them.

    CUDA_VISIBLE_DEVICES lists indices, UUIDs or their first characters, or MIG instances. As for CUDA, the
    list ends at the first entry that names no GPU. Indices count the GPUs in the order of the PCI bus, as in
    `nvidia-smi`: CUDA does so if all GPUs are equal, or with CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    found: list[Gpu] = []
    entries = _entries()
    if entries is None:
        entries = [str(index) for index in range(_ask("nvmlDeviceGetCount") or 0)]
    for entry in entries:
        gpu = _find(entry)
        if gpu is None or gpu in found:
            break
        found.append(gpu)
    return found


def count_visible() -> int | None:
    """How many GPUs this process can use, if CUDA_VISIBLE_DEVICES limits them.

    Returns:
        None if the variable is not set, or if NVML is unknown and it lists no MIG instances.
    """
    entries = _entries()
    if entries is None:
        return None
    if is_known():
        return len(visible_gpus())
    instances = [entry for entry in entries if entry.startswith("MIG-")]
    return len(dict.fromkeys(instances)) if instances and instances == entries else None


def _entries() -> list[str] | None:
    text = os.environ.get(VISIBLE)
    if text is None:
        return None
    return [] if text.strip() in ("", _NO_DEVICES) else [entry.strip() for entry in text.split(",")]


def _find(entry: str) -> Gpu | None:
    """The GPU that an entry of CUDA_VISIBLE_DEVICES names; None if there is none, or several."""
    if entry.isdecimal():
        if int(entry) >= (_ask("nvmlDeviceGetCount") or 0):
            return None
        handle = _ask("nvmlDeviceGetHandleByIndex", int(entry))
        return None if handle is None else _gpu(handle, entry)
    if entry.startswith(("GPU-", "MIG-")):
        candidates = _all_gpus() if entry.startswith("GPU-") else _all_instances()
        found = [gpu for gpu in candidates if gpu.uuid.startswith(entry)]
        if len(found) == 1:
            return found[0]
    if entry.startswith("MIG-"):  # also the older form, MIG-GPU-<uuid>/<instance>/<compute instance>
        handle = _ask("nvmlDeviceGetHandleByUUID", entry)
        return None if handle is None else Gpu(entry, handle)
    return None


def _gpu(handle: Any, name: str) -> Gpu:
    uuid = _ask("nvmlDeviceGetUUID", handle) or name
    return Gpu(uuid.decode() if isinstance(uuid, bytes) else str(uuid), handle)


def _all_gpus() -> Iterator[Gpu]:
    for index in range(_ask("nvmlDeviceGetCount") or 0):
        handle = _ask("nvmlDeviceGetHandleByIndex", index)
        if handle is not None:
            yield _gpu(handle, str(index))


def _all_instances() -> Iterator[Gpu]:
    for gpu in _all_gpus():
        for index in range(_ask("nvmlDeviceGetMaxMigDeviceCount", gpu.handle) or 0):
            handle = _ask("nvmlDeviceGetMigDeviceHandleByIndex", gpu.handle, index)
            if handle is not None:
                yield _gpu(handle, f"{gpu.uuid}/{index}")
