"""Scripts with their sweep files: real scripts, real processes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import sweep
from sweep.system import processes

MakeScript = Callable[..., Path]

JSON_LINES = """
    import json, sys
    lr = float(sys.argv[1].removeprefix("--lr="))
    for step in (1, 2, 5):
        print(json.dumps({"step": step, "val_loss": lr / step, "epoch": step, "note": "x"}))
    print("bye", file=sys.stderr)
"""


@pytest.fixture
def make_script(project: Path) -> MakeScript:
    """Writes a script and its sweep file; returns the sweep file."""

    def make(code: str, at: str = "train.py", **keys: Any) -> Path:
        (project / at).parent.mkdir(exist_ok=True)
        (project / at).write_text(textwrap.dedent(code))
        spec = {
            "program": at,
            "metric": {"name": "val_loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"lr": {"min": 0.0, "max": 1.0}, "kind": "a b"},
            "stop": {"trials": 1},
            **keys,
        }
        file = project / "demo.yaml"
        file.write_text(
            yaml.safe_dump({key: value for key, value in spec.items() if value is not None}, sort_keys=False)
        )
        return file

    return make


def run(file: Path) -> sweep.SweepResult:
    return sweep.run(file, inline=True)


def is_alive(pid: int) -> bool:
    try:
        return processes.is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def output(result: sweep.SweepResult, number: int = 0) -> bytes:
    return (result.trials[number].directory / "output.log").read_bytes()
