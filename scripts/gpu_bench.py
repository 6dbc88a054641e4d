#!/usr/bin/env python3
"""Measures trials that use CUDA on a GPU of this machine, and prints the medians as Markdown.

    pip install -e '.[bench,gpu]'
    python scripts/gpu_bench.py [--trials 24] [--repetitions 3]

1. The gap between two trials that use CUDA: from the last kernel of one to the first kernel of the next on
   the same slot. This project's warm worker, Ray Tune, and Ray Tune with `reuse_actors`.
2. Eight trials at `gpu: 0.125` against the same eight one after another.
3. The GPU memory that a worker holds between trials that each allocate 2 GB.

Without a GPU it says so, and exits with status 3. With GPU_BENCH_CPU=1 it runs on a pretended GPU, which only
shows that the script works.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

NO_GPU = 3
"""The exit status without a GPU."""
_OBJECTIVE = """
import json, os, time
import torch

def work(number, seconds, gigabytes):
    device = torch.device(DEVICE)
    held_before = 0
    if DEVICE == "cuda":
        free, total = torch.cuda.mem_get_info()
        held_before = total - free
    matrix = torch.rand(1024, 1024, device=device)
    synchronize()
    began = time.time()
    held = torch.ones(int(gigabytes * 2**30), dtype=torch.uint8, device=device)
    end = time.time() + seconds
    while time.time() < end:
        matrix = torch.tanh(matrix @ matrix)
        synchronize()
    record = dict(number=number, pid=os.getpid(), began=began, ended=time.time(), held_before=held_before)
    with open(os.environ["GPU_BENCH"], "a") as file:
        file.write(json.dumps(record) + chr(10))

def synchronize():
    if DEVICE == "cuda":
        torch.cuda.synchronize()

def train(trial):
    work(trial.number, SECONDS, GIGABYTES)
    return 0.0
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--trials", type=int, default=24, help="trials of the first measurement (default: 24)"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        _CASES[options.case](options.folder, options.trials)
        return
    name = gpu_name() if _has_gpu() else "no GPU: a dry run, whose figures mean nothing"
    if name is None:
        print("this machine has no GPU that torch can use: nothing was measured", file=sys.stderr)
        sys.exit(NO_GPU)
    print(f"{name}; torch {version('torch')}, ray {version('ray')}\n")
    print(_gaps(options))
    print(_sharing(options))
    print(_memory(options))


def gpu_name() -> str | None:
    """The name of the first GPU; None without one. Asked in another process, for its CUDA context."""
    code = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _gaps(options: argparse.Namespace) -> str:
    lines = ["| between two trials on a slot | median gap (ms) | largest (ms) |", "|---|---|---|"]
    for case in ("sweep", "tune", "tune_reuse"):
        gaps: list[float] = []
        for _ in range(options.repetitions):
            records = _run(case, options.trials)
            gaps += [(after["began"] - before["ended"]) * 1000 for before, after in pairwise(records[1:])]
        lines.append(f"| {_TITLES[case]} | {statistics.median(gaps):.0f} | {max(gaps):.0f} |")
    return "\n".join(lines) + "\n"


def _sharing(options: argparse.Namespace) -> str:
    spans = {}
    for case in ("eighth", "whole"):
        found = []
        for _ in range(options.repetitions):
            records = _run(case, 16)[8:]  # the first eight start the workers
            found.append(max(row["ended"] for row in records) - min(row["began"] for row in records))
        spans[case] = statistics.median(found)
    return (
        f"Eight trials of 2 s of kernels each: {spans['eighth']:.1f} s at `gpu: 0.125`, "
        f"{spans['whole']:.1f} s one after another.\n"
    )


def _memory(options: argparse.Namespace) -> str:
    records = _run("memory", 8)
    held = [row["held_before"] / 1e6 for row in records[1:]]
    return (
        f"GPU memory in use before a trial (each allocates 2 GB): {min(held):.0f} to {max(held):.0f} MB, "
        f"in {len({row['pid'] for row in records})} worker process(es).\n"
    )


def _run(case: str, trials: int) -> list[dict[str, Any]]:
    """Run a case in another process; returns the records of its trials in the order of their start."""
    with tempfile.TemporaryDirectory(prefix="gpu-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        arguments = [__file__, "--case", case, "--folder", name, "--trials", str(trials)]
        with open(folder / "output", "w") as output:
            done = subprocess.run(
                [sys.executable, *arguments],
                env=_environment(folder),
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            raise SystemExit((folder / "output").read_text()[-3000:])
        records = [json.loads(line) for line in (folder / "records").read_text().splitlines()]
    return sorted(records, key=lambda row: row["began"])


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "GPU_BENCH": str(folder / "records"), "RAY_ADDRESS": "local"}


def _sweep(gpu: float, seconds: float, gigabytes: float) -> Callable[[Path, int], None]:
    def run(folder: Path, trials: int) -> None:
        import sweep

        os.chdir(folder)
        _write_objective(folder, seconds, gigabytes)
        spec = {
            "objective": "objective.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "resources": {"cpu": 0.1, "gpu": gpu},
            "stop": {"trials": trials},
        }
        if gpu == 1:
            spec["max_parallel"] = 1
        (folder / "bench.yaml").write_text(yaml.safe_dump(spec))
        with _ray():
            result = sweep.run(folder / "bench.yaml")
        assert len(result.trials) == trials

    return run


def _tune(reuse: bool) -> Callable[[Path, int], None]:
    def run(folder: Path, trials: int) -> None:
        from ray import tune

        _write_objective(folder, 0.5, 0.5)
        sys.path.insert(0, str(folder))

        def objective(config: dict[str, Any]) -> None:
            sys.path.insert(0, str(folder))
            from objective import work  # type: ignore[import-not-found]

            work(config["number"], 0.5, 0.5)
            tune.report({"loss": 0.0})

        tuner = tune.Tuner(
            tune.with_resources(objective, {"cpu": 0.1, "gpu": 1}),
            param_space={"number": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=reuse),
            run_config=tune.RunConfig(storage_path=str(folder / "tune"), verbose=0),
        )
        with _ray():
            assert not tuner.fit().errors

    return run


@contextmanager
def _ray() -> Iterator[None]:
    """A Ray for all contestants: its start does not count."""
    import ray

    gpus = None if _has_gpu() else 1
    ray.init(address="local", num_gpus=gpus, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def _write_objective(folder: Path, seconds: float, gigabytes: float) -> None:
    values = {"SECONDS": seconds, "GIGABYTES": gigabytes, "DEVICE": "cuda" if _has_gpu() else "cpu"}
    lines = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    (folder / "objective.py").write_text(lines + _OBJECTIVE)


def _has_gpu() -> bool:
    return "GPU_BENCH_CPU" not in os.environ


_TITLES = {"sweep": "this project", "tune": "Ray Tune", "tune_reuse": "Ray Tune, `reuse_actors`"}
_CASES: dict[str, Callable[[Path, int], None]] = {
    "sweep": _sweep(1, 0.5, 0.5),
    "tune": _tune(reuse=False),
    "tune_reuse": _tune(reuse=True),
    "eighth": _sweep(0.125, 2.0, 0.5),
    "whole": _sweep(1, 2.0, 0.5),
    "memory": _sweep(1, 0.5, 2.0),
}

if __name__ == "__main__":
    main()
