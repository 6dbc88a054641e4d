"""Syne Tune with its local backend. Run as a module, it is a user's script; `syne_trial` is its trial."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from benchmark.work import Result, Work


def run(work: Work, folder: Path) -> Result:
    # Both are read when the package is imported.
    os.environ["SYNETUNE_FOLDER"] = str(folder / "syne-tune")
    os.environ["BENCH_FOLDER"] = str(folder)
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import uniform
    from syne_tune.experiments import load_experiment
    from syne_tune.optimizer.baselines import TPE, RandomSearch
    from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule

    logging.getLogger().setLevel(logging.ERROR)
    work.write(folder)
    space = {name: uniform(0, 1) for name in work.names}
    scheduler = TPE(space, metric="loss") if work.sampler == "tpe" else RandomSearch(space, metrics=["loss"])
    if work.verdicts:
        scheduler = MedianStoppingRule(scheduler, time_attr="step", metric="loss")
    tuner = Tuner(
        trial_backend=LocalBackend(str(Path(__file__).with_name("syne_trial.py"))),
        scheduler=scheduler,
        # It stops at "more than": some more can have started by then.
        stop_criterion=StoppingCriterion(max_num_trials_started=work.trials - 1),
        n_workers=work.slots,
        # The default of 5 s is for long trials: a slot would wait for that long after each.
        sleep_time=0.01,
        tuner_name="bench",
        wait_trial_completion_when_stopping=True,
    )
    began = time.perf_counter()
    tuner.run()
    seconds, stored = time.perf_counter() - began, time.time()
    rows = load_experiment(tuner.name).results
    histories = [list(trial["loss"]) for _, trial in rows.groupby("trial_id")]
    assert len(histories) >= work.trials
    return Result(seconds, stored, histories)


def command(work: Work, folder: Path) -> list[str]:
    work.write(folder)
    return [sys.executable, "-m", __name__, str(folder)]


if __name__ == "__main__":
    run(Work.read(Path(sys.argv[1])), Path(sys.argv[1]))
