#!/usr/bin/env python3
"""Compares the scheduling overhead of this project and of Ray Tune on this machine.

    pip install -e '.[bench]'
    python scripts/bench_overhead.py

There are two measurements, each in a separate process per contestant, with two cores for Ray:

* Cost per trial: an empty objective with ten reports, on two slots. TensorBoard files and the study or
  experiment state are written as each contestant does by default. The result is the wall time from the end of
  `ray.init` to the end of the sweep, divided by the number of trials. All use Optuna's random sampler, so
  that only scheduling is compared; `--sampler tpe` adds 3 to 5 ms per trial to each.
* Slots busy: trials that sleep for one second, on eight slots of a quarter core. The result is the sleeping
  time, divided by eight times the wall time from the end of `ray.init`; and the same for the time from the
  moment at which the largest number of trials first run in parallel to the start of the last trial.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORES = 2
SLOTS = 8
CONTESTANTS = {"sweep": "sweep", "tune": "Ray Tune", "tune-reuse": "Ray Tune, reuse_actors"}
COST_TRIALS = {"sweep": 1000, "tune": 16, "tune-reuse": 1000}


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time for `trials` empty trials."""

    trials: int
    seconds: float

    @property
    def per_trial_ms(self) -> float:
        return 1000 * self.seconds / self.trials


@dataclass(frozen=True)
class Busy:
    """The share of the slots' time spent in trials, 0 to 1: overall, and after all slots have started."""

    overall: float
    once_started: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--busy-trials", type=int, default=96, help="trials of one second (default 96)")
    parser.add_argument(
        "--only", choices=CONTESTANTS, action="append", help="measure only this contestant (repeatable)"
    )
    parser.add_argument(
        "--sampler", choices=["random", "tpe"], default="random", help="the Optuna sampler (default random)"
    )
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        run_inside(*options.inside, options)
        return
    names = options.only or list(CONTESTANTS)
    costs = {name: Cost(**measure("cost", name, options)) for name in names}
    print_costs(costs)
    busy = {name: Busy(**measure("busy", name, options)) for name in names}
    print_busy(busy, options.busy_trials)


def measure(question: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one measurement of one contestant in a separate process."""
    print(f"... {question}: {CONTESTANTS[name]}", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--inside", question, name, "--sampler", options.sampler]
    command += ["--busy-trials", str(options.busy_trials)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def print_costs(costs: dict[str, Cost]) -> None:
    print(f"\ncost per trial ({CORES} slots, empty objective, 10 reports)\n")
    print(f"{'':26}{'trials':>8}{'ms a trial':>12}{'ratio':>8}")
    for name, cost in costs.items():
        ratio = cost.per_trial_ms / costs["sweep"].per_trial_ms if "sweep" in costs else float("nan")
        print(f"{CONTESTANTS[name]:26}{cost.trials:8}{cost.per_trial_ms:12.1f}{ratio:8.1f}")


def print_busy(busy: dict[str, Busy], trials: int) -> None:
    print(f"\nslots busy ({trials} trials of 1 s on {SLOTS} slots)\n")
    print(f"{'':26}{'overall':>10}{'once started':>14}")
    for name, share in busy.items():
        print(f"{CONTESTANTS[name]:26}{share.overall:10.1%}{share.once_started:14.1%}")


def run_inside(question: str, name: str, options: argparse.Namespace) -> None:
    """Measure, and print the result as the last line of stdout."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if name == "sweep":
        import sweep.api  # noqa: F401 - as in `sweep run`, imports come before Ray starts
    else:
        import ray.tune.search.optuna
    run = (
        sweep_runner(options.sampler)
        if name == "sweep"
        else tune_runner(options.sampler, name == "tune-reuse")
    )
    with tempfile.TemporaryDirectory() as folder:
        ray.init(
            address="local",
            num_cpus=CORES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        if question == "cost":
            trials = COST_TRIALS[name]
            seconds = run(Path(folder), "empty", trials, 1.0, CORES, "")
            print("\n" + json.dumps({"trials": trials, "seconds": seconds}))
        else:
            times = Path(folder) / "times"
            os.environ["BENCH_TIMES"] = str(times)
            seconds = run(Path(folder), "nap", options.busy_trials, CORES / SLOTS, SLOTS, str(times))
            print("\n" + json.dumps(read_times(times, seconds)))


def read_times(times: Path, seconds: float) -> dict[str, float]:
    """Compute the shares of the slots' time from the trials' timestamps."""
    naps = [tuple(map(float, line.split())) for line in times.read_text().splitlines()]
    at_once = [sum(start <= moment < stop for start, stop in naps) for moment, _ in naps]
    begin = min(start for (start, _), count in zip(naps, at_once, strict=True) if count == max(at_once))
    end = max(start for start, _ in naps)
    inside = sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in naps)
    return {
        "overall": sum(stop - start for start, stop in naps) / (SLOTS * seconds),
        "once_started": inside / (SLOTS * (end - begin)),
    }


OBJECTIVES = """
import time

def empty(trial):
    for step in range(10):
        trial.report(trial.params.x, step)

def nap(trial):
    start = time.time()
    time.sleep(1)
    with open(trial.params.times, "a") as file:
        file.write(f"{start} {time.time()}\\n")
    return trial.params.x
"""


Runner = Callable[[Path, str, int, float, int, str], float]
"""Runs an objective. Arguments: directory, objective, trials, cores per trial, slots, file for timestamps.

Returns the wall time in seconds.
"""


def sweep_runner(sampler: str) -> Runner:
    def run(folder: Path, objective: str, trials: int, cpu: float, parallel: int, times: str) -> float:
        import yaml

        import sweep

        (folder / "bench_objective.py").write_text(OBJECTIVES)
        spec = {
            "objective": f"{folder}/bench_objective.py:{objective}",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": sampler,
            "parameters": {"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0.0, "max": 1.0}, "times": times},
            "resources": {"cpu": cpu},
            "max_parallel": parallel,
            "stop": {"trials": trials},
        }
        file = folder / "bench.yaml"
        file.write_text(yaml.safe_dump(spec))
        began = time.perf_counter()
        result = sweep.run(file, runs=folder / "runs")
        seconds = time.perf_counter() - began
        assert [trial.state for trial in result.trials] == ["COMPLETE"] * trials
        return seconds

    return run


def tune_runner(sampler: str, reuse: bool) -> Runner:
    def run(folder: Path, objective: str, trials: int, cpu: float, parallel: int, times: str) -> float:
        import optuna
        from ray import tune
        from ray.tune.search.optuna import OptunaSearch

        def empty(config: dict[str, Any]) -> None:
            for _ in range(10):
                tune.report({"loss": config["x"]})

        def nap(config: dict[str, Any]) -> None:
            start = time.time()
            time.sleep(1)
            with open(times, "a") as file:
                file.write(f"{start} {time.time()}\n")
            tune.report({"loss": config["x"]})

        function = tune.with_resources({"empty": empty, "nap": nap}[objective], {"cpu": cpu})
        tuner = tune.Tuner(
            function,
            param_space={"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(
                metric="loss",
                mode="min",
                search_alg=OptunaSearch(
                    sampler=optuna.samplers.TPESampler()
                    if sampler == "tpe"
                    else optuna.samplers.RandomSampler()
                ),
                num_samples=trials,
                max_concurrent_trials=parallel,
                reuse_actors=reuse,
            ),
            run_config=tune.RunConfig(storage_path=str(folder / "tune"), verbose=0),
        )
        began = time.perf_counter()
        results = tuner.fit()
        seconds = time.perf_counter() - began
        assert len(results) == trials
        assert not results.errors
        return seconds

    return run


if __name__ == "__main__":
    main()
