"""What a sweep would do, without running any of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from sweep.analysis import formatting as text
from sweep.controller.stop_rules import stop_notes
from sweep.errors import EntryError
from sweep.objective.find import find_objective, working_directory
from sweep.script.reference import ScriptReference
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.enqueue import start_points
from sweep.study.pruners import make_pruner, pruner_notes
from sweep.study.samplers import make_sampler, sampler_notes
from sweep.study.seeds import derive_seed
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.command import NO_PROGRAM, CommandError
from sweep.sweepfile.parameters import Constant, Leaf
from sweep.sweepfile.pruners import AshaPruner, BandsPruner, HyperbandPruner
from sweep.sweepfile.tree import flatten
from sweep.sweepfile.wandb import hyperband as core_bands
from sweep.system.directory import SweepDirectory

_SAMPLES = 5


@dataclass(frozen=True)
class Preview:
    """What `sweep check` shows.

    Args:
        parameters: by their dotted names.
        grid: how many configurations there are, None without an end.
        samples: some configurations as the sampler would choose them.
        command: the first one's command line, None for a function.
        notes: what its author may want to know.
    """

    parameters: dict[str, Leaf]
    grid: int | None
    samples: list[dict[str, Any]]
    command: list[str] | None
    notes: list[str]


def preview(spec: SweepSpec, near: Path, may_lack_program: bool = False) -> Preview:
    """See what a sweep would do.

    Args:
        spec: the sweep.
        near: the sweep file's directory.
        may_lack_program: a script that is not here is worth a note only.

    Raises:
        InputError: it could not run: its objective is not there, or its sampler cannot serve its space.
    """
    missing = []
    try:
        objective = find_objective(spec, near)
        working_directory(spec)
    except EntryError as error:
        if not may_lack_program or error.key not in ("program", "command"):
            raise
        missing = [] if spec.program == NO_PROGRAM else [f"it cannot be run here: {error}"]
        objective = ScriptReference.of(spec)
    space = SearchSpace.of(spec)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = make_sampler(
        spec.sampler, space, seed=spec.sampler.seed or 0, trials_so_far=0, objectives=len(spec.goals)
    )
    make_pruner(spec.pruner)
    start_points(spec, space)
    study = optuna.create_study(sampler=sampler, directions=[goal.goal for goal in spec.goals])
    count = _SAMPLES
    if spec.sampler.type in EXHAUSTIVE:
        count = min(count, space.grid_size or count)
    samples = [] if space.is_define_by_run else [space.suggest(study.ask()) for _ in range(count)]
    notes = [
        *missing,
        *stop_notes(spec),
        *(
            ["the objective asks for its parameters: nothing is known of them before"]
            if space.is_define_by_run
            else []
        ),
        *_rung_notes(spec),
        *sampler_notes(spec, space),
        *pruner_notes(spec.pruner),
    ]
    command = None
    if isinstance(objective, ScriptReference):
        command, problem = _first_command(spec, objective, samples)
        notes += problem
    return Preview(space.parameters, space.grid_size, samples, command, notes)


def _first_command(
    spec: SweepSpec, objective: ScriptReference, samples: list[dict[str, Any]]
) -> tuple[list[str] | None, list[str]]:
    """The first command line that there would be, and a note if some samples would have none."""
    found, problem = None, []
    for number, params in enumerate(samples):
        trial = SweepDirectory.of(Path("runs"), spec.name).trial(number).root
        seed = derive_seed(spec.sampler.seed or 0, "trial", number)
        try:
            command = objective.arguments(params, trial, number, seed)
            found = found or command
        except CommandError as error:
            problem = [f"a trial with {text.parameters(params)} would fail: {error}"]
    return found, problem


_LENGTHS = ("epochs", "max_epochs", "num_epochs", "n_epochs", "steps", "max_steps", "num_steps", "iterations")
"""Parameters by which trials are usually told how long to train."""


def _first_rung(spec: SweepSpec) -> int | None:
    """After how many reports the pruner first looks at a trial, where that is certain."""
    pruner = spec.pruner
    if isinstance(pruner, BandsPruner):
        made = make_pruner(pruner)
        return min(made.bands) if isinstance(made, core_bands.BandsPruner) else None
    if isinstance(pruner, AshaPruner) and pruner.min_resource != "auto":
        return int(pruner.min_resource * pruner.reduction_factor**pruner.min_early_stopping_rate)
    return pruner.min_resource if isinstance(pruner, HyperbandPruner) else None


def _rung_notes(spec: SweepSpec) -> list[str]:
    first = _first_rung(spec)
    for name, node in flatten(spec.parameters).items():
        length = node.parameter
        longest = length.value if isinstance(length, Constant) else getattr(length, "max", None)
        if name in _LENGTHS and isinstance(longest, int) and first is not None and longest < first:
            return [
                f"{spec.pruner.type} first looks at a trial after {first} reports, and {name} is at most "
                f"{longest}: with a report for each it would never stop one"
            ]
    return []
