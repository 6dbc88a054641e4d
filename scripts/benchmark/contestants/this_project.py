"""This project."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import yaml

from benchmark.contestants.ray_start import start_ray
from benchmark.work import Result, Work

_OBJECTIVE = """\
from pathlib import Path

{imports}
from benchmark.work import Work, times_file, train

FOLDER = Path({folder!r})
WORK = Work.read(FOLDER)


def objective(trial):
    return train(WORK, trial.params.x0, trial.report, trial.should_prune, times_file(FOLDER))
"""


def sweep_file(work: Work, folder: Path) -> Path:
    """Write the sweep file, and the objective beside it."""
    work.write(folder)
    imports = "import torch  # noqa" if work.torch else ""
    (folder / "bench_objective.py").write_text(_OBJECTIVE.format(imports=imports, folder=str(folder)))
    spec = {
        "name": "bench",
        "objective": f"{folder}/bench_objective.py:objective",
        "metric": {"name": "loss", "goal": "minimize"},
        "sampler": work.sampler,
        "pruner": "median" if work.verdicts else "none",
        "parameters": {name: {"min": 0.0, "max": 1.0} for name in work.names},
        "resources": {"cpu": work.cpu},
        "max_parallel": work.slots,
        "stop": {"trials": work.trials},
    }
    file = folder / "bench.yaml"
    file.write_text(yaml.safe_dump(spec))
    return file


def run(work: Work, folder: Path) -> Result:
    import sweep
    import sweep.launch  # what `sweep.run` imports; the others' imports are not measured either
    from sweep.engine.ray.private import only_needed_daemons

    file = sweep_file(work, folder)
    with only_needed_daemons(), start_ray(work):  # as the command starts it
        began = time.perf_counter()
        result = sweep.run(file, runs=folder / "runs", progress=False)
        seconds = time.perf_counter() - began
    trials = result.study.trials
    states = [trial.state.name for trial in trials]
    assert states == ["COMPLETE"] * work.trials, f"{len(states)} trials: {set(states)}"
    stored = max(trial.datetime_complete.timestamp() for trial in trials)
    return Result(seconds, stored, [list(trial.intermediate_values.values()) for trial in trials])


def command(work: Work, folder: Path) -> list[str]:
    file = sweep_file(work, folder)
    return [*sweep_command(), "run", str(file), "--runs", str(folder / "runs")]


def sweep_command() -> list[str]:
    """The command `sweep` of the Python that runs this."""
    return [str(Path(sys.executable).with_name("sweep"))]
