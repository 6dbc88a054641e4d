"""One attempt of a trial, in whichever process it runs: from an assignment to its outcome."""

from __future__ import annotations

import os
from bdb import BdbQuit
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from sweep.engine.classify import classify
from sweep.engine.isolation import restored, seed_generators
from sweep.engine.user_traceback import one_line, user_traceback
from sweep.messages import Assignment, Outcome, OutcomeKind
from sweep.objective.find import ObjectiveReference
from sweep.objective.pickled_function import PickledFunction
from sweep.objective.result import read_result
from sweep.script.reference import ScriptReference
from sweep.system.directory import SweepDirectory
from sweep.system.processes import TRIAL_DIRECTORY
from sweep.tracking.run_logger import RunLogger
from sweep.trial.channel import Channel
from sweep.trial.checkpoints import find_checkpoints
from sweep.trial.optuna_trial import StudyInfo
from sweep.trial.trial import Objective, Trial

Capture = Callable[[Path], AbstractContextManager[None]]
"""Sends what an objective prints to a file, for as long as it is entered."""


@dataclass(frozen=True)
class AttemptSettings:
    """What all attempts of a sweep have in common. Light to unpickle: no spec, no Optuna.

    Args:
        directory: the sweep's.
        objective: what to run.
        working_directory: where it is imported.
        trial_directory: where it runs.
        variables: its environment, besides what is there.
        metric: the name of what the sweep optimises (first).
        goals: the names of all metrics to be optimised.
        pruning_metric: the name of the metric by which trials are pruned.
        maximize: whether more of it is better.
        device: what `trial.device` says.
        keep_checkpoints: how many of the last checkpoints of a trial are kept.
        is_define_by_run: whether the objective asks for its parameters.
        study: what trials know of it.
    """

    directory: SweepDirectory
    objective: ObjectiveReference
    working_directory: Path
    trial_directory: Path
    variables: Mapping[str, str]
    metric: str
    goals: tuple[str, ...]
    pruning_metric: str
    maximize: bool
    device: str
    keep_checkpoints: int
    is_define_by_run: bool
    study: StudyInfo


class ObjectiveImportError(Exception):
    """The module of the objective cannot be imported; the text is for people.

    Args:
        what: the text.
        error: what was raised.
    """

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(what)
        self.error = error


class AttemptRunner:
    """Runs one attempt after another in this process; the objective is imported once.

    Args:
        settings: what all attempts have in common.
        capture: what to do with the output of the objective.
        is_guest: whether this process belongs to somebody else. Then KeyboardInterrupt, and leaving the
            debugger, mean that the person at the terminal wants to end it all, and child processes may not be
            the objective's.
        on_error: is called with what the objective raised, while its surroundings are still there.

    Raises:
        ObjectiveImportError: the objective cannot be imported.
    """

    def __init__(
        self,
        settings: AttemptSettings,
        capture: Capture,
        is_guest: bool = False,
        on_error: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._is_guest = is_guest
        self._on_error = on_error
        self.is_sound = True
        """Whether this process was put back into its state after the last attempt."""
        self._settings = settings
        self._capture = capture
        self._objective = _load(settings.objective)

    def run(self, assignment: Assignment, channel: Channel) -> Outcome:
        """Run the objective once. Whatever it raises becomes an outcome."""
        settings = self._settings
        directory = settings.directory.trial(assignment.number, assignment.label)
        directory.root.mkdir(parents=True, exist_ok=True)
        kind: OutcomeKind = "returned"
        value: float | None = None
        reason = whole = ""
        with ExitStack() as exits:
            variables = {**settings.variables, TRIAL_DIRECTORY: str(directory.root)}
            problems = exits.enter_context(restored(variables, ends_children=not self._is_guest))
            exits.enter_context(self._capture(directory.output))
            os.chdir(settings.trial_directory)
            if assignment.attempt > 1:
                print(f"--- attempt {assignment.attempt} ---", flush=True)
            saved = find_checkpoints(directory.checkpoints)
            run = RunLogger(
                directory.root,
                assignment.session,
                settings.metric,
                settings.maximize,
                resume_after=saved[-1].step if saved else None,
                is_define_by_run=settings.is_define_by_run,
            )
            exits.callback(run.finish)
            trial = Trial(
                assignment,
                directory.root,
                settings.metric,
                run,
                channel,
                self._device(),
                settings.keep_checkpoints,
                settings.pruning_metric,
                settings.is_define_by_run,
                settings.study,
            )
            try:
                seed_generators(assignment.seed)
                result = self._objective(trial)
                value, metrics = read_result(result, settings.goals, trial.last_value)
                run.add_final({settings.metric: value, **metrics})
            except BaseException as error:  # user code may raise anything
                self._on_error(error)
                if isinstance(error, (KeyboardInterrupt, BdbQuit)) and self._is_guest:
                    raise
                kind = classify(error, directory.root)
                if kind == "interrupted":
                    reason = str(error)
                elif kind != "pruned":
                    reason, whole = one_line(error), user_traceback(error)
        self.is_sound = not problems
        return Outcome(
            number=assignment.number,
            attempt=assignment.attempt,
            kind=kind,
            value=value,
            metrics={tag: last for tag, (_, last) in run.last.items()},
            reason=reason,
            traceback=whole,
            repeat=assignment.repeat,
        )

    def _device(self) -> str:
        """What the settings say, unless nobody has seen to it that there is a GPU, and there is none."""
        device = self._settings.device
        is_script = isinstance(self._settings.objective, ScriptReference)
        if device == "cuda" and self._is_guest and not is_script:
            with suppress(ImportError):
                import torch

                if not torch.cuda.is_available():
                    print("resources.gpu: there is no GPU here; trial.device is cpu", flush=True)
                    return "cpu"
        return device


def _load(objective: ObjectiveReference) -> Objective:
    try:
        return objective.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
        assert not isinstance(objective, ScriptReference)
        place = (
            objective.name if isinstance(objective, PickledFunction) else objective.source or objective.module
        )
        raise ObjectiveImportError(
            f"{place} cannot be imported: {one_line(error)}\n\n{user_traceback(error).rstrip()}", error
        ) from None
