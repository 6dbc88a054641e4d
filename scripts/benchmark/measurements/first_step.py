"""The time from a command to the first training step."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import command
from benchmark.job import kill_tree
from benchmark.system import free_port
from benchmark.work import Work, first_start, times_file

_START, _JOIN = "starting", "joining a Ray that stays"
_USERS_OF_RAY = ("sweep", "ray", "tune")


def cases(quick: bool, trials: int | None) -> list[Case]:
    names = {_START: (*_USERS_OF_RAY, "optuna", "syne"), _JOIN: _USERS_OF_RAY[: 1 if quick else None]}
    return [Case("c", name, label, Work(1, 1)) for label in names for name in names[label]]


def measure(case: Case, folder: Path) -> Values:
    with _standing_ray(folder / "ray") if case.label == _JOIN else nullcontext():
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
def _standing_ray(folder: Path) -> Iterator[None]:
    """A separate Ray, whose address is in RAY_ADDRESS. Other Rays of the machine are left alone."""
    port = free_port()
    # Without this it demands the token that an earlier local Ray of this user has made.
    os.environ["RAY_AUTH_MODE"] = "disabled"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    command += ["--include-dashboard=false", "--num-cpus=2", f"--temp-dir={folder}"]
    process = subprocess.Popen(command, stdout=sys.stderr)
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


MEASUREMENT = Measurement(
    "Start-up",
    """\
The time from the command to the first training step, with a new Ray and with one that is running already
(`RAY_ADDRESS`), which an earlier sweep has used. The commands are `sweep run` and a script that each of
the others recommends. Bare Ray is a script that starts Ray and calls one actor.""",
    cases,
    measure,
    {"Seconds": [Column(label, label, "seconds", ".2f", ratio=True) for label in (_START, _JOIN)]},
    limit=300,
)
