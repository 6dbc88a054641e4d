"""Ray Tune with OptunaSearch. Run as a module, it is a user's script."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from benchmark.contestants.ray_start import start_ray
from benchmark.work import Result, Work, times_file, train


def run(work: Work, folder: Path, reuse: bool = False) -> Result:
    import optuna
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler, MedianStoppingRule
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    # Tune decides at each report by itself; its rule has a grace period of one minute by default.
    rule = MedianStoppingRule(time_attr="training_iteration", grace_period=1)
    tuner = tune.Tuner(
        tune.with_resources(_trainable(work, folder), {"cpu": work.cpu}),
        param_space={name: tune.uniform(0, 1) for name in work.names},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=OptunaSearch(sampler=samplers[work.sampler]()),
            scheduler=rule if work.verdicts else FIFOScheduler(),
            num_samples=work.trials,
            max_concurrent_trials=work.slots,
            reuse_actors=reuse,
        ),
        run_config=tune.RunConfig(storage_path=str(folder / "tune"), verbose=0),
    )
    with start_ray(work):
        began = time.perf_counter()
        results = tuner.fit()
        seconds, stored = time.perf_counter() - began, time.time()
        assert len(results) == work.trials
        assert not results.errors
        histories = [list(result.metrics_dataframe["loss"]) for result in results]
    return Result(seconds, stored, histories)


def _trainable(work: Work, folder: Path) -> Any:
    from ray import tune

    times = times_file(folder)

    def objective(config: dict[str, Any]) -> None:
        if work.torch:
            import torch  # noqa: F401 - a function trainable is pickled: this is where its imports are
        value = train(
            work, config["x0"], lambda value, step: tune.report({"loss": value}), lambda: False, times
        )
        if not work.reports:  # it stops at a trial without a value
            tune.report({"loss": value})

    return objective


def command(work: Work, folder: Path) -> list[str]:
    work.write(folder)
    return [sys.executable, "-m", __name__, str(folder)]


if __name__ == "__main__":
    run(Work.read(Path(sys.argv[1])), Path(sys.argv[1]))
