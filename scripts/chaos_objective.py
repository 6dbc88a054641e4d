"""The objective of `chaos.py`: a random walk whose result is known, with checkpoints."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from typing import Any

STEPS = 12
SLOWNESS = "SWEEP_CHAOS_SLOWNESS"
"""Environment variable: how many times longer a step takes."""


def train(trial: Any) -> float:
    """The objective: a random walk of one to two seconds, which checks its checkpoints."""
    write_diary(trial, f"start {trial.number}")
    walk, first = 0.0, 0
    found = trial.checkpoint.latest()
    if found is not None:
        saved = json.loads((found.path / "state.json").read_text())
        assert saved["step"] == found.step, "a checkpoint of another step"
        assert saved["walk"] == expected_walk(trial.number, found.step), "a checkpoint of another trial"
        walk, first = saved["walk"], found.step + 1
    child = subprocess.Popen(
        ["sleep", "300"], start_new_session=True
    )  # would outlive a careless orchestrator
    slowness = float(os.environ.get(SLOWNESS, "1"))
    for step in range(first, STEPS):
        time.sleep(slowness * random.Random(trial.number * 100 + step).uniform(0.05, 0.25))
        walk += gain(trial.number, step)
        trial.log({"loss": walk, "noise": step % 3}, step)
        write_diary(trial, f"step {step}")
        if step % 3 == 2:
            try:
                with trial.checkpoint.save(step) as path:
                    (path / "state.json").write_text(json.dumps({"step": step, "walk": walk}))
            finally:  # also if the trial is asked to stop here
                write_diary(trial, f"saved {step}")
    write_diary(trial, "end")
    if trial.number % 2:
        child.kill()
    return walk


def write_diary(trial: Any, entry: str) -> None:
    """Append a line with the time and the process."""
    with open(trial.directory / "diary.txt", "a") as file:
        file.write(f"{time.time()} {os.getpid()} {entry}\n")


def gain(number: int, step: int) -> float:
    return round(random.Random(f"{number}/{step}").uniform(-1, 1), 3)


def expected_walk(number: int, step: int) -> float:
    walk = 0.0
    for at in range(step + 1):
        walk += gain(number, at)
    return walk
