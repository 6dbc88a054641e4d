"""How long TensorBoard takes until it shows 1,000 runs."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmark.case import Case, Column, Measurement, Values
from benchmark.contestants import this_project
from benchmark.work import Work


def cases(quick: bool, trials: int | None) -> list[Case]:
    work = Work(20 if quick else 1000, parameters=5)
    return [Case("g", name, "all", work) for name in ("sweep", "tensorboardx")]


def measure(case: Case, folder: Path) -> Values:
    from tests.tensorboard_client import tensorboard  # found only by the processes of cases

    ours, bare = folder / "sweep", folder / "bare"
    if not ours.exists():
        _build(case.work, ours, bare)
    logdir = ours / "runs" / "bench" if case.contestant == "sweep" else bare
    began = time.perf_counter()
    with tensorboard(logdir) as board:
        _wait(lambda: len(_runs(board.url)) >= case.work.trials)
        runs = time.perf_counter() - began
        _wait(lambda: len(board.rows()) >= case.work.trials)
        rows = time.perf_counter() - began
    files = [path for path in logdir.rglob("*tfevents*") if path.is_file()]
    return {"runs": runs, "rows": rows, "MB": sum(path.stat().st_size for path in files) / 1e6}


def _build(work: Work, ours: Path, bare: Path) -> None:
    """Run a sweep, and write the same scalars, parameters and metrics with tensorboardX."""
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    import sweep
    from sweep.tracking.read import read_scalars

    ours.mkdir()
    file = this_project.sweep_file(work, ours)
    result = sweep.run(file, runs=ours / "runs", inline=True, progress=False)
    for trial in result.trials:
        with SummaryWriter(str(bare / trial.directory.name)) as writer:
            scalars = read_scalars(trial.directory)
            for record in hparams(dict(trial.params), dict(trial.metrics)):
                writer.file_writer.add_summary(record)
            for tag, values in scalars.items():
                for step, value in values.items():
                    writer.add_scalar(tag, value, step)


def _runs(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/data/runs", timeout=120) as answer:
        return list(json.load(answer))


def _wait(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.1)


MEASUREMENT = Measurement(
    "TensorBoard with 1,000 runs",
    """\
The seconds from the start of TensorBoard until it lists 1,000 runs with ten reports each, and until the
HParams tab has all their rows. Bare tensorboardX has written the same scalars, parameters and metrics.""",
    cases,
    measure,
    {
        "Seconds": [
            Column("all runs", "all", "runs", ".2f", ratio=True),
            Column("all rows of the HParams tab", "all", "rows", ".2f", ratio=True),
            Column("MB of event files", "all", "MB", ".2f", ratio=True),
        ]
    },
    keeps_folder=True,
)
