"""Sweeps that are unlike most: empty, running, without a complete trial, with unusual names and spaces."""

from __future__ import annotations

import os
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

import sweep
from tests.commands import PATIENCE, sweep_command

HOSTILE = "<script>alert(1)</script> \"a' | `b` \x1b[31m\r\nc 日本"
"""A text that a page must not execute, a table must not be torn by, and a terminal must not obey."""

_COMMON: dict[str, Any] = {
    "metric": {"name": "val/loss", "goal": "minimize"},
    "sampler": {"type": "random", "seed": 1},
    "parameters": {"x": {"min": 0.0, "max": 1.0}, "kind": {"values": ["a", "b"]}, "fixed": 3},
    "stop": {"trials": 8},
}
_REPORTING = """
    def train(trial):
        for step in range(4):
            trial.report(trial.params.x + 1 / (step + 1), step)
        return trial.params.x
"""
_SWEEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "usual": (_REPORTING, {}),
    "one-trial": (_REPORTING, {"stop": {"trials": 1}}),
    "failed": (
        """
        def train(trial):
            raise ValueError(f"no luck with {trial.params.x}")
        """,
        {"stop": {"trials": 3}},
    ),
    "pruned": (
        """
        import optuna

        def train(trial):
            trial.report(trial.params.x, 0)
            raise optuna.TrialPruned
        """,
        {},
    ),
    "goals": (
        """
        def train(trial):
            return {"cost": trial.params.x, "accuracy": 1 - (trial.params.x - 0.3) ** 2}
        """,
        {
            "metric": None,
            "metrics": [{"name": "cost", "goal": "minimize"}, {"name": "accuracy", "goal": "maximize"}],
        },
    ),
    "repeats": (
        """
        def train(trial):
            for step in range(3):
                trial.report(trial.params.x + trial.seed % 7 / 100 + 1 / (step + 1), step)
            return trial.params.x + trial.seed % 7 / 100
        """,
        {"repeats": {"seeds": 3, "reduce": "mean"}, "stop": {"trials": 4}},
    ),
    "define-by-run": (
        """
        def objective(trial):
            kind = trial.suggest_categorical("kind", ["a", "b"])
            if kind == "a":
                return trial.suggest_float("x", 0, 1)
            return trial.suggest_int("layers", 1, 5) / 5

        train = objective
        """,
        {"parameters": "define-by-run"},
    ),
    "constraints": (
        """
        def train(trial):
            return {"val/loss": trial.params.x, "size": 1.0}
        """,
        {
            "metric": None,
            "metrics": [{"name": "val/loss", "goal": "minimize"}, {"name": "size", "constraint": "<= 0.5"}],
        },
    ),
    "not-a-number": (
        """
        def train(trial):
            trial.report(float("inf"), 0)
            return float("inf") if trial.number % 2 else float("-inf")
        """,
        {},
    ),
    "hostile": (
        f"""
        HOSTILE = {HOSTILE!r}

        def train(trial):
            trial.set_user_attr("=1+1 " + HOSTILE, HOSTILE)
            trial.report(trial.params["a/b <i>"], 0)
            if trial.number == 1:
                raise ValueError(HOSTILE)
            return trial.params["a/b <i>"]
        """,
        {
            "metric": {"name": "<b>loss</b> | `x`", "goal": "minimize"},
            "parameters": {
                "a/b <i>": {"min": 0.0, "max": 1.0},
                "=2+3": {"values": ["=1+1", HOSTILE, "-0.5"]},
            },
        },
    ),
}
_RUNNING = """
    import os, time

    def train(trial):
        trial.report(trial.params.x, 0)
        if trial.number == 2:
            open("is-running", "w").close()
            while not os.path.exists("go-on"):
                time.sleep(0.05)
        return trial.params.x
"""

FINISHED = (*_SWEEPS, "empty", "no-trial")
NAMES = (*FINISHED, "running")


def write(folder: Path, name: str, code: str, keys: dict[str, Any]) -> Path:
    """Write the objective and the file of a sweep; returns the file."""
    (folder / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    spec = {"objective": f"{name}.py:train", **_COMMON, **keys}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({key: value for key, value in spec.items() if value is not None}))
    return file


def make_finished(folder: Path) -> Path:
    """Run all sweeps of `FINISHED` in a folder; returns the folder of their directories."""
    runs = folder / "runs"
    for name, (code, keys) in _SWEEPS.items():
        sweep.run(write(folder, name, code, keys), inline=True, runs=runs, progress=False)
    for name in ("empty", "no-trial"):  # killed before the study was created, and before the first trial
        source = runs / "one-trial"
        target = runs / name
        target.mkdir()
        (target / "sweep.yaml").write_text(
            (source / "sweep.yaml").read_text().replace("name: one-trial", f"name: {name}")
        )
        if name == "no-trial":
            lines = (source / "journal.log").read_bytes().splitlines(keepends=True)
            (target / "journal.log").write_bytes(b"".join(lines[:1]))
    return runs


@contextmanager
def running(folder: Path) -> Iterator[Path]:
    """A sweep named `running` that runs while the context is open; returns the folder of its directory."""
    file = write(folder, "running", _RUNNING, {"trial": {"isolate": False}})
    runs = folder / "runs"
    process = subprocess.Popen(
        sweep_command("run", file, "--inline", "--plain", "--runs", runs),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        end = time.monotonic() + PATIENCE
        while not any(os.path.exists(place / "is-running") for place in (folder, runs / "running")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield runs
    finally:
        process.kill()
        process.wait()
