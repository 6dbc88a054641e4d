"""The contestants. Each module has `run(work, folder)`, which does the work as the contestant's documentation
recommends, and `command(work, folder)`, the command by which a user would start it.

They are imported by name, so that a process imports only the one that it measures.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from benchmark.work import Result, Work

TITLES = {
    "sweep": "sweep",
    "tune": "Ray Tune",
    "tune-reuse": "Ray Tune, `reuse_actors`",
    "optuna": "Optuna, processes",
    "syne": "Syne Tune",
    "ray": "bare Ray",
    "tensorboardx": "bare tensorboardX",
}
PEERS = ("sweep", "tune", "tune-reuse", "optuna", "syne")
_MODULES = {
    "sweep": "this_project",
    "tune": "ray_tune",
    "tune-reuse": "ray_tune",
    "optuna": "plain_optuna",
    "syne": "syne",
    "ray": "bare_ray",
}
_TUNE = ("ray[tune]", "pyarrow")
_PACKAGES = {"tune": _TUNE, "tune-reuse": _TUNE, "syne": ("syne-tune", "syne_tune")}
"""The packages of the extra `bench`, and a module that comes with each."""


def missing(name: str) -> str:
    """Which package the contestant cannot run without and is not installed; empty if it can run."""
    package, module = _PACKAGES.get(name, ("optuna", "optuna"))
    return "" if find_spec(module) else f"{package} is not installed: `pip install -e '.[bench]'`"


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"benchmark.contestants.{_MODULES[name]}")


def run(name: str, work: Work, folder: Path) -> Result:
    """Do the work in this process (and those which the contestant starts)."""
    options = {"reuse": True} if name == "tune-reuse" else {}
    result: Result = _module(name).run(work, folder, **options)
    return result


def command(name: str, work: Work, folder: Path) -> list[str]:
    """The command that does the work."""
    found: list[str] = _module(name).command(work, folder)
    return found
