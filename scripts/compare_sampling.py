#!/usr/bin/env python
"""Compares the search of a sweep with that of plain Optuna. The output is a table of the best values.

Without `--workers`, it compares the sweep's TPE, which learns from a bounded number of trials, with TPE
that learns from all: Optuna's, whose suggestions the sweep's TPE returns in less time if it is not bounded.
The seeds are the same; "better" counts those with the better value, and p is the p-value of a Wilcoxon
test. For two objectives, the value is the hypervolume, with a minus.

    python scripts/compare_sampling.py --repetitions 20 --trials 4000 --offset 1000

With `--costs`, it measures the CPU time of a suggestion after a number of trials.

    python scripts/compare_sampling.py --costs

With `--workers`, it compares a sweep with `parameters: define-by-run`, in its workers, with plain Optuna in
as many processes that share a journal.

    python scripts/compare_sampling.py --repetitions 20 --workers 4
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import create_trial
from scipy.stats import mannwhitneyu, wilcoxon

from sweep.study.bounded_tpe import BoundedTPESampler

_SECONDS = 0.03
"""The duration of an objective, long enough for trials to overlap."""

_SUGGESTIONS = 10
_LENGTHS = (100, 1_000, 10_000, 100_000)
_MOST_FOR_OPTUNA = 10_000
"""After more trials, Optuna's suggestions take seconds."""
KINDS: dict[str, BaseDistribution] = {
    "floats": FloatDistribution(0, 1),
    "whole numbers": IntDistribution(1, 10_000, log=True),
    "choices": CategoricalDistribution(["a", "b", "c"]),
}

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
    return float(value)


def rosenbrock(trial: Any) -> float:
    """A curved valley in five dimensions; its minimum is 0."""
    x = [trial.suggest_float(f"x{index}", -2, 2) for index in range(5)]
    return sum(100 * (right - left**2) ** 2 + (1 - left) ** 2 for left, right in pairwise(x))


def ackley(trial: Any) -> float:
    """Many local minima in six dimensions; the minimum is 0."""
    x = [trial.suggest_float(f"x{index}", -32, 24) for index in range(6)]
    root = math.sqrt(statistics.mean(value * value for value in x))
    waves = statistics.mean(math.cos(2 * math.pi * value) for value in x)
    return -20 * math.exp(-0.2 * root) - math.exp(waves) + 20 + math.e


def zdt1(trial: Any) -> tuple[float, float]:
    """Two objectives (Zitzler, Deb and Thiele 2000), six parameters."""
    x = [trial.suggest_float(f"x{index}", 0, 1) for index in range(6)]
    g = 1 + 9 * statistics.mean(x[1:])
    return x[0], g * (1 - math.sqrt(x[0] / g))


OBJECTIVES: dict[str, Callable[[Any], float]] = {"hartmann6": hartmann6, "conditional": conditional}
LONG: dict[str, Callable[[Any], Any]] = {
    **OBJECTIVES,
    "rosenbrock": rosenbrock,
    "ackley": ackley,
    "zdt1": zdt1,
}


def slow(objective: str, trial: Any) -> float:
    """An objective that takes long enough for trials to overlap."""
    time.sleep(_SECONDS)
    return OBJECTIVES[objective](trial)


def with_tpe(history: int | None, objective: str, seed: int, trials: int) -> float:
    """The best value that TPE finds if it learns from so many trials."""
    options: dict[str, Any] = {"multivariate": True, "group": True} if objective == "conditional" else {}
    directions = [StudyDirection.MINIMIZE] * (2 if objective == "zdt1" else 1)
    sampler = BoundedTPESampler(seed=seed, history=history, **options)
    study = optuna.create_study(sampler=sampler, directions=directions)
    study.optimize(LONG[objective], n_trials=trials)
    if len(directions) == 1:
        return study.best_value
    values = np.array([trial.values for trial in study.trials])
    return -float(compute_hypervolume(values, np.array([1.1, 11.0])))


def compare_tpe(repetitions: int, trials: int, offset: int) -> None:
    """Print how well TPE searches if it learns from a bounded number of trials, and from all."""
    print(f"best of {trials} trials, {repetitions} repetitions, learning from some trials or from all\n")
    print("| objective | from | median | mean | worst | better | p |")
    print("|---|---|---|---|---|---|---|")
    for objective in LONG:
        bounded, unbounded = (
            [with_tpe(history, objective, offset + index, trials) for index in range(repetitions)]
            for history in (None, trials)
        )
        p = wilcoxon(bounded, unbounded).pvalue if bounded != unbounded else 1
        for name, values, others in (("some", bounded, unbounded), ("all", unbounded, bounded)):
            row = (statistics.median(values), statistics.mean(values), max(values))
            cells = " | ".join(f"{value:.4f}" for value in row)
            better = sum(value < other for value, other in zip(values, others, strict=True))
            print(f"| {objective} | {name} | {cells} | {better} | {p:.2f} |", flush=True)


def suggestion_cost(sampler: TPESampler, kind: str, trials: int, objectives: int) -> float:
    """The CPU time of a suggestion after so many trials, in milliseconds."""
    generator = np.random.default_rng(0)
    space: dict[str, BaseDistribution] = {f"x{index}": KINDS[kind] for index in range(5)}
    study = optuna.create_study(sampler=sampler, directions=[StudyDirection.MINIMIZE] * objectives)
    random = RandomSampler(seed=0)
    rows = (
        {name: random.sample_independent(study, None, name, each) for name, each in space.items()}  # type: ignore[arg-type]
        for _ in range(trials)
    )
    study.add_trials(
        create_trial(params=row, distributions=space, values=generator.random(objectives).tolist())
        for row in rows
    )
    study.tell(study.ask(space), [0.5] * objectives)
    started = time.process_time()
    for _ in range(_SUGGESTIONS):
        study.tell(study.ask(space), generator.random(objectives).tolist())
    return (time.process_time() - started) / _SUGGESTIONS * 1000


def print_costs() -> None:
    """Print the CPU time of a suggestion by the sweep's TPE and by Optuna's."""
    print("CPU time of a suggestion of five parameters, in milliseconds\n")
    print("| parameters | objectives | by | " + " | ".join(f"{trials:,}" for trials in _LENGTHS) + " |")
    print("|---|---|---" + "|---" * len(_LENGTHS) + "|")
    for kind, objectives in (*((kind, 1) for kind in KINDS), ("floats", 2), ("floats", 3)):
        for name, class_ in (("sweep", BoundedTPESampler), ("Optuna", TPESampler)):
            cells = []
            for trials in _LENGTHS:
                if class_ is TPESampler and trials > _MOST_FOR_OPTUNA:
                    cells.append("")
                else:
                    cells.append(f"{suggestion_cost(class_(seed=1), kind, trials, objectives):.1f}")
            print(f"| {kind} | {objectives} | {name} | {' | '.join(cells)} |", flush=True)


def with_sweep(objective: str, seed: int, trials: int, workers: int, folder: Path) -> float:
    """The best value of a sweep."""
    import sweep

    result = sweep.run(
        functools.partial(slow, objective),
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
    study.optimize(functools.partial(slow, objective), callbacks=[enough])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--trials", type=int, help="4000, or 60 with --workers")
    parser.add_argument("--offset", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--costs", action="store_true")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if options.workers is None:
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if options.costs:
            print_costs()
        else:
            compare_tpe(options.repetitions, options.trials or 4000, options.offset)
        return
    options.trials = options.trials or 60
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
