"""Sweeps whose trials are measured at once, without a file, for what is said about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from sweep.analysis.view import SweepView
from sweep.space import SearchSpace
from sweep.study.ranking import Ranking
from sweep.study.samplers import make_sampler
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

Measure = Callable[[Mapping[str, Any]], dict[str, float] | None]
"""The metrics of a configuration; None if a trial with it fails."""


def measured(
    folder: Path,
    parameters: dict[str, Any],
    measure: Measure,
    trials: int = 60,
    seed: int = 1,
    **entries: Any,
) -> SweepView:
    """A sweep with random configurations that satisfy the constraints, by what a sweep file has."""
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "objective.py:train",
            "parameters": parameters,
            "sampler": "random",
            "stop": {"trials": trials},
            **({} if "metrics" in entries else {"metric": {"name": "loss", "goal": "minimize"}}),
            **entries,
        }
    )
    space, ranking = SearchSpace.of(spec), Ranking(spec)
    sampler = make_sampler(spec.sampler, space, seed, sampled_so_far=0)
    sampled = optuna.create_study(sampler=sampler)
    study = optuna.create_study(directions=[goal.goal for goal in spec.goals])
    for _ in range(trials):
        asked = sampled.ask()
        metrics = measure(space.suggest(asked))
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if metrics is None else TrialState.COMPLETE,
                values=None if metrics is None else ranking.values(metrics),
                params=asked.params,
                distributions=asked.distributions,
                constraints={} if metrics is None else ranking.excesses(metrics),
            )
        )
    view = SweepView(SweepDirectory(folder), spec)
    view.__dict__["study"] = study
    return view
