"""A large sweep, written without running it."""

from __future__ import annotations

import datetime
import random
from pathlib import Path

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.space import SearchSpace
from sweep.study import attributes
from sweep.study.study import SweepStudy
from sweep.sweepfile import load_spec
from sweep.system.directory import SweepDirectory

_SPEC = """
name: {name}
objective: train.py:train
metric: {{name: val/loss, goal: minimize}}
parameters:
  lr: {{min: 1e-5, max: 0.1, log: true, default: 1e-3}}
  dropout: {{min: 0.0, max: 0.6, default: 0.1}}
  width: {{min: 16, max: 512, log: true, default: 64}}
  optimizer: {{values: [sgd, adamw, lion], default: sgd}}
  batch_size: {{values: [16, 32, 64, 128], default: 32}}
stop: {{trials: {trials}}}
"""
_DISTRIBUTIONS = {
    "lr": FloatDistribution(1e-5, 0.1, log=True),
    "dropout": FloatDistribution(0.0, 0.6),
    "width": IntDistribution(16, 512, log=True),
    "optimizer": CategoricalDistribution(["sgd", "adamw", "lion"]),
    "batch_size": CategoricalDistribution([16, 32, 64, 128]),
}
_BEGIN = datetime.datetime(2026, 1, 1)


def make_large(runs: Path, name: str, trials: int, steps: int = 10, slots: int = 8) -> SweepDirectory:
    """Write a sweep with complete, pruned and failed trials, each of which has reported `steps` times."""
    directory = SweepDirectory.of(runs, name)
    directory.root.mkdir(parents=True)
    directory.spec.write_text(_SPEC.format(name=name, trials=trials))
    spec = load_spec(directory.spec)
    study = SweepStudy(spec, SearchSpace.of(spec), directory)
    generator = random.Random(1)
    with study.batch():
        study.optuna_study.add_trials([_trial(generator, number, steps, slots) for number in range(trials)])
    study.close()
    return directory


def _trial(generator: random.Random, number: int, steps: int, slots: int) -> FrozenTrial:
    lr = 10 ** generator.uniform(-5, -1)
    params = {
        "lr": lr,
        "dropout": generator.uniform(0, 0.6),
        "width": round(16 * 32 ** generator.random()),
        "optimizer": generator.choice(["sgd", "adamw", "lion"]),
        "batch_size": generator.choice([16, 32, 64, 128]),
    }
    end = abs(lr - 3e-3) ** 0.3 + generator.gauss(0.3, 0.02) + 0.1 * (params["optimizer"] == "lion")
    curve = {step: end + 2 / (step + 1) + generator.gauss(0, 0.01) for step in range(steps)}
    state = generator.choices([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL], [8, 3, 1])[0]
    if state == TrialState.PRUNED:
        curve = dict(list(curve.items())[: max(1, steps // 3)])
    start = _BEGIN + datetime.timedelta(seconds=60 * (number // slots) + generator.random())
    trial = create_trial(
        state=state,
        value=end if state == TrialState.COMPLETE else None,
        params=params,
        distributions=_DISTRIBUTIONS,
        intermediate_values=curve,
        user_attrs={attributes.REASON: f"RuntimeError: out of memory at width {params['width']}"}
        if state == TrialState.FAIL
        else {},
    )
    trial.datetime_start = start
    trial.datetime_complete = start + datetime.timedelta(seconds=generator.uniform(20, 58))
    return trial
