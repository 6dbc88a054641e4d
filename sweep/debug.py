"""One trial in this process, outside its study: what `sweep debug` runs. Nothing of a sweep is changed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import RandomSampler

from sweep.analysis.view import SweepView, TrialRow
from sweep.controller.outcomes import resolve_state
from sweep.controller.runs import find_repeat, make_runs
from sweep.engine.attempt import AttemptRunner
from sweep.engine.base import Sweep
from sweep.errors import EntryError, InputError, suggestion
from sweep.messages import Assignment, Outcome, Suggestion, TrialMessage, TrialStateName
from sweep.objective.find import ObjectiveReference, find_objective, working_directory
from sweep.script.reference import ScriptReference
from sweep.space import SearchSpace
from sweep.space.columns import cells, columns
from sweep.space.space import suggest
from sweep.study.compatibility import incompatible_changes
from sweep.study.manual_params import Configuration, complete
from sweep.study.ranking import Ranking
from sweep.study.seeds import stored_seed
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.command import CommandError
from sweep.system.directory import SweepDirectory, TrialDirectory
from sweep.tracking.hparams import Session, group_name


@dataclass(frozen=True)
class DebugTrial:
    """A trial that is to be run in this process.

    Args:
        spec: the sweep it might belong to.
        objective: what to run.
        configuration: its parameters.
        assignment: the trial.
        recorded: how the trial of that number ended in its sweep, None for one that is none of its trials.
        notes: what is worth knowing.
    """

    spec: SweepSpec
    objective: ObjectiveReference
    configuration: Configuration
    assignment: Assignment
    recorded: TrialRow | None
    notes: tuple[str, ...]

    @property
    def recorded_value(self) -> float | None:
        """The value that the same run had in the sweep."""
        if self.recorded is None or self.recorded.params != self.configuration.params:
            return None
        if self.recorded.repeats is None:
            return self.recorded.value
        values = self.recorded.repeats
        return values[self.assignment.repeat] if self.assignment.repeat < len(values) else None

    def command(self, directory: SweepDirectory) -> list[str] | None:
        """The command line of a script; None for a function, or if there cannot be one."""
        if not isinstance(self.objective, ScriptReference):
            return None
        one = self.assignment
        try:
            return self.objective.arguments(one.params, self.place(directory).root, one.number, one.seed)
        except CommandError:  # it will be said when it is run
            return None

    def place(self, directory: SweepDirectory) -> TrialDirectory:
        """Where it runs, if the sweep's directory were `directory`."""
        return directory.trial(self.assignment.number, self.assignment.label)


def plan(
    spec: SweepSpec,
    near: Path,
    given: Mapping[str, Any],
    *,
    view: SweepView | None = None,
    number: int | None = None,
    repeat: str | None = None,
) -> DebugTrial:
    """Find out what to run.

    Args:
        spec: the sweep.
        near: the sweep file's directory.
        given: parameters; the others are those of the trial `number`, else defaults, else sampled.
        view: the sweep as it stands, for its trial `number`.
        number: the trial whose parameters and seed to take.
        repeat: which of its repeats, by its index or name.

    Raises:
        EntryError: the objective is not there.
        InputError: there is no such trial, parameter or repeat.
    """
    objective = find_objective(spec, near)
    working_directory(spec)
    if isinstance(objective, ScriptReference):
        objective = replace(objective, is_attached=True)
    recorded = _row(view, number) if view is not None and number is not None else None
    notes: list[str] = []
    if view is not None and recorded is not None:
        found = incompatible_changes(view.spec, spec)
        if found:
            notes.append(f"not the sweep in {view.directory.root} any more: {'; '.join(found)}")
    seed = stored_seed(view.spec, view.study) if view is not None else spec.sampler.seed
    space = SearchSpace.of(spec)
    try:
        configuration = complete(space, given, seed or 0, recorded.params if recorded is not None else None)
    except EntryError as error:
        raise InputError(f"--params {error}") from None
    index = find_repeat(spec, repeat) if repeat is not None else 0
    params = {} if space.is_define_by_run else configuration.params
    table = columns(space.with_constants({name: params[name] for name in params}))
    session = Session(cells(table, params), group_name(spec.name, number or 0), time.time())
    run = make_runs(spec, number or 0, seed or 0, session)[index]
    return DebugTrial(
        spec,
        objective,
        configuration,
        Assignment(run.number, 1, params, session, run.seed, run.repeat, run.label),
        recorded,
        (*notes, *configuration.notes),
    )


def _row(view: SweepView, number: int) -> TrialRow:
    rows = view.rows()
    if not 0 <= number < len(rows):
        count = f"they are 0 to {len(rows) - 1}" if rows else "there is none yet"
        raise InputError(f"--trial {number}: {view.spec.name} has no such trial; {count}")
    return rows[number]


class DebugObserver:
    """Is told what the trial does. This one does nothing of it."""

    def reported(self, message: TrialMessage) -> None:
        """It has reported a value of the metric by which trials are pruned, or said something else."""

    def given(self, name: str, value: Any, is_known: bool) -> None:
        """It has asked for a parameter; whether it was known before, or has been drawn at random."""

    def asked_to_prune(self) -> None:
        """It has asked whether to be pruned."""

    def raised(self, error: BaseException) -> None:
        """It has raised this; what surrounds it is still there."""


@dataclass(frozen=True)
class Debugged:
    """What became of it.

    Args:
        state: what a trial would have become; None if it has no outcome.
        reason: why it failed.
        outcome: how it ended.
        seconds: how long it took.
    """

    state: TrialStateName | None
    reason: str
    outcome: Outcome
    seconds: float


def debug(trial: DebugTrial, directory: SweepDirectory, observer: DebugObserver) -> Debugged:
    """Run the trial in this process, whose terminal it has.

    Args:
        trial: what to run.
        directory: of a sweep that is none: what the trial writes goes there.
        observer: is told what happens.

    Raises:
        ObjectiveImportError: the objective cannot be imported.
        KeyboardInterrupt: somebody at the terminal wants to end it.
        bdb.BdbQuit: the same, in the debugger.
    """
    spec = trial.spec
    sweep = Sweep(spec, directory, trial.objective, Path.cwd(), working_directory(spec))
    runner = AttemptRunner(
        sweep.attempt_settings, lambda path: nullcontext(), is_guest=True, on_error=observer.raised
    )
    began = time.monotonic()
    channel = _DebugChannel(observer, trial.configuration.params, trial.assignment.seed)
    outcome = runner.run(trial.assignment, channel)
    state, reason = resolve_state(outcome, Ranking(spec), spec.metric.name)
    return Debugged(state, reason, outcome, time.monotonic() - began)


class _DebugChannel:
    """There is no controller: nobody prunes the trial, nobody stops it.

    Args:
        observer: is told what the trial says.
        params: what is known of its parameters, if it asks for them.
        seed: of what is not.
    """

    def __init__(self, observer: DebugObserver, params: Mapping[str, Any], seed: int) -> None:
        self._observer = observer
        self._params = params
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._others = optuna.create_study(sampler=RandomSampler(seed)).ask()

    def report(self, message: TrialMessage) -> None:
        self._observer.reported(message)

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        if name not in self._params:
            value = suggest(self._others, name, distribution)
            self._observer.given(name, value, is_known=False)
            return Suggestion(value)
        value = self._params[name]
        choices = getattr(distribution, "choices", None)
        if choices is not None and value not in choices:
            return Suggestion(problem=f"{name} is never {value!r}; {suggestion(value, map(str, choices))}")
        if choices is None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return Suggestion(problem=f"{name} is a number, never {value!r}")
        if isinstance(distribution, IntDistribution):
            if value != value // 1:
                return Suggestion(problem=f"{name} is a whole number, never {value!r}")
            value = int(value)
        self._observer.given(name, value, is_known=True)
        return Suggestion(value)

    def should_prune(self) -> bool:
        self._observer.asked_to_prune()
        return False

    def must_end(self) -> bool:
        return False
