"""Pretended GPUs in this process, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sweep.system import gpus

FAKE_NVML = Path(__file__).parent / "fake_nvml"
"""The folder of a stand-in for NVML's Python module."""
GB = 10**9


def pretend_gpus(
    folder: Path, devices: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """Have this process see these GPUs; returns the stand-in for NVML."""
    (folder / "gpus.json").write_text(json.dumps(list(devices)))
    monkeypatch.setenv("FAKE_NVML", str(folder))
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.syspath_prepend(FAKE_NVML)
    monkeypatch.delitem(__import__("sys").modules, "pynvml", raising=False)
    gpus._library.cache_clear()
    import pynvml

    return pynvml


def device(index: int, total: int = 80 * GB, **keys: Any) -> dict[str, Any]:
    """A GPU for `pretend_gpus`."""
    return {"uuid": f"GPU-{index}{index}{index}{index}-aaaa", "total": total, **keys}
