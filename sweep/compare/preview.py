"""What a sweep would do, without running any of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from sweep.core.pruners import make_pruner, pruner_notes
from sweep.core.samplers import make_sampler, sampler_notes
from sweep.objective.function import FunctionReference
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.spec import SweepSpec
from sweep.spec.parameters import Leaf

_SAMPLES = 5


@dataclass(frozen=True)
class Preview:
    """What `sweep check` shows.

    Args:
        parameters: by their dotted names.
        grid: how many configurations there are, None without an end.
        samples: some configurations as the sampler would choose them.
        notes: what its author may want to know.
    """

    parameters: dict[str, Leaf]
    grid: int | None
    samples: list[dict[str, Any]]
    notes: list[str]


def preview(spec: SweepSpec, near: Path) -> Preview:
    """See what a sweep would do.

    Args:
        spec: the sweep.
        near: the sweep file's directory.

    Raises:
        InputError: it could not run: its objective is not there, or its sampler cannot serve its space.
    """
    FunctionReference.find(spec.objective, near)
    space = SearchSpace.of(spec)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = make_sampler(
        spec.sampler, space, seed=spec.sampler.seed or 0, trials_so_far=0, objectives=len(spec.goals)
    )
    make_pruner(spec.pruner)
    study = optuna.create_study(sampler=sampler, directions=[goal.goal for goal in spec.goals])
    count = _SAMPLES
    if spec.sampler.type in EXHAUSTIVE:
        count = min(count, space.grid_size or count)
    samples = [space.suggest(study.ask()) for _ in range(count)]
    notes = [*_notes(spec), *sampler_notes(spec, space), *pruner_notes(spec.pruner)]
    return Preview(space.parameters, space.grid_size, samples, notes)


def _notes(spec: SweepSpec) -> list[str]:
    stop = spec.stop
    if spec.sampler.type != "grid" and stop.trials is None and stop.hours is None:
        return [
            "nothing ends this sweep but Ctrl-C"
            + (" or its target" if stop.target is not None else "")
            + "; write for example stop: {trials: 100}"
        ]
    return []
