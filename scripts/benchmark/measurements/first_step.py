"""The time from a command to the first training step."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmark.case import Case, Values
from benchmark.contestants import command
from benchmark.job import kill_tree
from benchmark.system import free_port
from benchmark.table import Column
from benchmark.work import Work, first_start, times_file

TITLE = "From the command to the first training step, in seconds"
LIMIT = 300
_JOIN = "joining a Ray"
COLUMNS = [
    Column("starting", "starting", "seconds", ".2f", ratio=True),
    Column("second run, on a Ray that stays", _JOIN, "seconds", ".2f", ratio=True),
]
_USERS_OF_RAY = ("sweep", "ray", "tune")


def cases(quick: bool) -> list[Case]:
    names = (*_USERS_OF_RAY, "optuna", "syne")
    starting = [Case("c", name, "starting", Work(1, 1)) for name in names]
    return starting + [Case("c", name, _JOIN, Work(1, 1)) for name in _USERS_OF_RAY]


def measure(case: Case, folder: Path) -> Values:
    with _standing_ray() if case.label == _JOIN else nullcontext():
        if case.label == _JOIN:
            _run(case, folder / "first")
        return {"seconds": _run(case, folder / "measured")}


def _run(case: Case, folder: Path) -> float:
    """Run the command to its end; returns the seconds until its first trial has started."""
    folder.mkdir()
    arguments = command(case.contestant, case.work, folder)
    began = time.time()
    subprocess.run(arguments, cwd=folder, check=True, stdout=sys.stderr)
    assert times_file(folder).exists(), "no trial has ended"
    return first_start(folder) - began


@contextmanager
def _standing_ray() -> Iterator[None]:
    """A Ray of its own, whose address is in RAY_ADDRESS. Other Rays of the machine are left alone."""
    port = free_port()
    ray = str(Path(sys.executable).with_name("ray"))
    process = subprocess.Popen(
        [ray, "start", "--head", "--block", f"--port={port}", "--include-dashboard=false", "--num-cpus=2"],
        stdout=sys.stderr,
    )
    try:
        os.environ["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        _wait_for_ray(port)
        yield
    finally:
        kill_tree(process.pid)


def _wait_for_ray(port: int) -> None:
    """Wait until a program can join the Ray."""
    program = f"import ray; ray.init('127.0.0.1:{port}', logging_level='ERROR', log_to_driver=False)"
    for _ in range(10):
        if subprocess.run([sys.executable, "-c", program], check=False, stdout=sys.stderr).returncode == 0:
            return
        time.sleep(1)
    raise RuntimeError("ray start: no Ray after ten attempts to join it")
