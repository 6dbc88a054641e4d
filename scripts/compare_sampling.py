#!/usr/bin/env python
"""Compares the best values of a sweep with `parameters: define-by-run` with those of plain Optuna.

Both run the same objectives with TPE and the same number of parallel trials: the sweep in its workers, plain
Optuna in processes that share a journal. The output is a table of the best values, with the p-value of a
difference.

    python scripts/compare_sampling.py --repetitions 20 --workers 4
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from scipy.stats import mannwhitneyu

_SECONDS = 0.03
"""The duration of an objective, long enough for trials to overlap."""

_A = [
    [10, 3, 17, 3.5, 1.7, 8],
    [0.05, 10, 17, 0.1, 8, 14],
    [3, 3.5, 1.7, 10, 17, 8],
    [17, 8, 0.05, 10, 0.1, 14],
]
_P = [
    [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
    [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
    [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
    [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
]
_C = [1.0, 1.2, 3.0, 3.2]


def hartmann6(trial: Any) -> float:
    """The six-dimensional Hartmann function (Dixon and Szego 1978); its minimum is -3.32237."""
    x = [trial.suggest_float(f"x{index}", 0, 1) for index in range(6)]
    time.sleep(_SECONDS)
    distances = [
        sum(a * (v - p) ** 2 for a, v, p in zip(*row, strict=True))
        for row in zip(_A, [x] * 4, _P, strict=True)
    ]
    return -sum(c * math.exp(-distance) for c, distance in zip(_C, distances, strict=True))


def conditional(trial: Any) -> float:
    """A conditional space: the kind decides on the other parameters. Its minimum is 0, for `valley`."""
    if trial.suggest_categorical("kind", ["bowl", "valley", "steps"]) == "bowl":
        value = 0.5 + (trial.suggest_float("centre", -5, 5) - 1) ** 2
    elif trial.params["kind"] == "valley":
        x, y = trial.suggest_float("x", -2, 2), trial.suggest_float("y", -1, 3)
        value = 100 * (y - x * x) ** 2 + (1 - x) ** 2
    else:
        value = 0.2 + abs(trial.suggest_int("n", 1, 1000, log=True) - 30) / 10
    time.sleep(_SECONDS)
    return float(value)


OBJECTIVES: dict[str, Callable[[Any], float]] = {"hartmann6": hartmann6, "conditional": conditional}


def with_sweep(objective: str, seed: int, trials: int, workers: int, folder: Path) -> float:
    """The best value of a sweep."""
    import sweep

    result = sweep.run(
        OBJECTIVES[objective],
        name=f"{objective}-{seed}",
        runs=folder,
        n_trials=trials,
        max_parallel=workers,
        sampler={"type": "tpe", "seed": seed},
        resources={"cpu": 1},
    )
    assert len(result.trials) == trials
    return result.best_value


def with_optuna(objective: str, seed: int, trials: int, workers: int, folder: Path) -> float:
    """The best value of plain Optuna."""
    path = folder / f"{objective}-{seed}.log"
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="study", storage=storage)
    processes = [
        multiprocessing.get_context("fork").Process(
            target=_optuna_worker, args=(objective, path, seed * workers + index, trials)
        )
        for index in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return study.best_value


def _optuna_worker(objective: str, path: Path, seed: int, trials: int) -> None:
    storage = JournalStorage(JournalFileBackend(str(path)))
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.load_study(study_name="study", storage=storage, sampler=sampler)
    enough = optuna.study.MaxTrialsCallback(trials, states=None)
    study.optimize(OBJECTIVES[objective], callbacks=[enough])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

    import ray

    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for objective in OBJECTIVES:  # before Ray starts: a process with threads should not fork
            for seed in range(options.repetitions):
                value = with_optuna(objective, seed, options.trials, options.workers, Path(folder))
                found.setdefault((objective, "plain Optuna"), []).append(value)
                print(f"\rplain Optuna, {objective}: {seed + 1}/{options.repetitions} ", end="", flush=True)
        ray.init(
            address="local",
            num_cpus=options.workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        for objective in OBJECTIVES:
            for seed in range(options.repetitions):
                value = with_sweep(objective, seed, options.trials, options.workers, Path(folder))
                found.setdefault((objective, "sweep"), []).append(value)
                print(f"\rsweep, {objective}: {seed + 1}/{options.repetitions}        ", end="", flush=True)
        ray.shutdown()

    print(
        f"\rbest of {options.trials} trials, {options.workers} at once, {options.repetitions} repetitions\n"
    )
    print("| objective | by | median | mean | worst | p (differ) |")
    print("|---|---|---|---|---|---|")
    for objective in OBJECTIVES:
        ours, theirs = found[objective, "sweep"], found[objective, "plain Optuna"]
        p = mannwhitneyu(ours, theirs).pvalue
        for by, values in (("sweep", ours), ("plain Optuna", theirs)):
            row = (statistics.median(values), statistics.mean(values), max(values))
            print(f"| {objective} | {by} | {' | '.join(f'{value:.4f}' for value in row)} | {p:.2f} |")


if __name__ == "__main__":
    main()
