"""A preview of a sweep: its search space and some sampled configurations. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from sweep.analysis import formatting as text
from sweep.controller.stop_rules import stop_notes
from sweep.engine.user_traceback import one_line, project_traceback
from sweep.errors import EntryError, SweepError
from sweep.objective.boolean_options import boolean_option_notes
from sweep.objective.find import find_objective, working_directory
from sweep.script.reference import ScriptReference
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.constrained_sampler import check_constraints
from sweep.study.enqueue import enqueued_configurations
from sweep.study.pruners import first_decision, first_report_note, make_pruner, pruner_notes
from sweep.study.samplers import make_sampler, sampler_notes
from sweep.study.seeds import derive_seed
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.command import NO_PROGRAM, CommandError
from sweep.sweepfile.parameters import Constant, Leaf
from sweep.sweepfile.resources import Resources
from sweep.system.directory import RUNS, SweepDirectory
from sweep.system.urls import connection_url

_SAMPLES = 5
_LENGTHS = ("epochs", "max_epochs", "num_epochs", "n_epochs", "steps", "max_steps", "num_steps", "iterations")
"""Parameters that usually limit how long a trial trains."""


@dataclass(frozen=True)
class Preview:
    """The output of `sweep check`.

    Args:
        parameters: the parameters by dotted name.
        grid: the number of configurations; None if it is infinite. If there are too many to check each
            against the constraints, it includes those that violate one.
        samples: some configurations drawn by the sampler.
        command: the command line of the first of them; None for a function.
        notes: notes about the sweep file for its author.
    """

    parameters: dict[str, Leaf]
    grid: int | None
    samples: list[dict[str, Any]]
    command: list[str] | None
    notes: list[str]


def preview(spec: SweepSpec, near: Path, allows_missing_program: bool = False) -> Preview:
    """Preview a sweep.

    Args:
        spec: the sweep.
        near: the sweep file's directory.
        allows_missing_program: report a missing script as a note instead of an error.

    Raises:
        InputError: the sweep cannot run: its objective is missing, or its sampler does not support its space.
        SweepError: its custom sampler has raised an exception.
    """
    notes = []
    try:
        objective = find_objective(spec, near)
        working_directory(spec)
    except EntryError as error:
        if not allows_missing_program or error.key not in ("program", "command"):
            raise
        if spec.program != NO_PROGRAM:
            notes.append(f"cannot be run here: {error}")
        objective = ScriptReference.of(spec)
    space = SearchSpace.of(spec)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = make_sampler(
        spec.sampler, space, seed=spec.sampler.seed or 0, sampled_so_far=0, objectives=len(spec.goals)
    )
    check_constraints(space)
    make_pruner(spec.pruner)
    enqueued_configurations(spec, space)
    if spec.storage is not None:
        connection_url(spec.storage, SweepDirectory.of(RUNS, spec.name).password)
    study = optuna.create_study(sampler=sampler, directions=[goal.goal for goal in spec.goals])
    size, size_note = _grid_size(space)
    count = min(_SAMPLES, size or _SAMPLES) if spec.sampler.type in EXHAUSTIVE else _SAMPLES
    samples = [] if space.is_define_by_run else _sample(study, space, count)
    notes += [*stop_notes(spec), *size_note]
    if space.is_define_by_run:
        notes.append("the objective suggests its parameters itself, so they cannot be previewed")
    notes += [*sampler_notes(spec, space), *pruner_notes(spec.pruner, spec.repeats is not None)]
    notes += [*first_report_note(spec.pruner), *_length_notes(spec, space)]
    notes += boolean_option_notes(objective, space.parameters)
    notes += _worker_notes(spec.resources)
    command = None
    if isinstance(objective, ScriptReference):
        command, problem = _first_command(spec, objective, samples)
        notes += problem
    return Preview(space.parameters, size, samples, command, notes)


def _grid_size(space: SearchSpace) -> tuple[int | None, list[str]]:
    """The number of configurations, None if it is infinite, and a note if it ignores the constraints."""
    if space.grid is None or space.grid.can_be_checked:
        return space.grid_size, []
    total = space.grid.total
    return total, [f"grid: {total} configurations are too many to count those that violate a constraint"]


def _sample(study: optuna.Study, space: SearchSpace, count: int) -> list[dict[str, Any]]:
    """Sample some configurations.

    Raises:
        SweepError: a custom sampler has raised an exception.
    """
    try:
        return [space.suggest(study.ask()) for _ in range(count)]
    except Exception as error:
        shown = project_traceback(error)
        if isinstance(error, SweepError) or not shown:
            raise
        raise SweepError(f"{one_line(error)}\n{shown.rstrip()}") from None


def _length_notes(spec: SweepSpec, space: SearchSpace) -> list[str]:
    """A note if trials are too short for the pruner."""
    first = first_decision(spec.pruner)
    for name, length in space.parameters.items():
        longest = length.value if isinstance(length, Constant) else getattr(length, "max", None)
        if first is not None and name in _LENGTHS and isinstance(longest, int) and longest < first:
            return [
                f"{spec.pruner.type} first looks at a trial after {first} reports, and {name} is at most "
                f"{longest}: if a trial reports once for each, it is never pruned"
            ]
    return []


def _worker_notes(resources: Resources) -> list[str]:
    """A note about what a trial requires that several workers run."""
    if resources.workers == 1:
        return []
    count = resources.workers
    return [
        f"each trial runs in {count} workers with cpu: {resources.cpu:g}, gpu: {resources.gpus:g} each; "
        f"in all cpu: {resources.cpu * count:g}, gpu: {resources.gpus * count:g}"
    ]


def _first_command(
    spec: SweepSpec, objective: ScriptReference, samples: list[dict[str, Any]]
) -> tuple[list[str] | None, list[str]]:
    """The command line of the first possible sample, and a note if a sample has no valid command line."""
    first, problem = None, []
    for number, params in enumerate(samples):
        trial = SweepDirectory.of(RUNS, spec.name).trial(number).root
        seed = derive_seed(spec.sampler.seed or 0, "trial", number)
        try:
            command = objective.arguments(params, trial, number, seed)
            first = first or command
        except CommandError as error:
            problem = [f"a trial with {text.parameters(params)} would fail: {error}"]
    return first, problem
