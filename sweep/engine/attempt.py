"""Runs one attempt of a trial in the current process: takes an assignment and returns an outcome."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from bdb import BdbQuit
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sweep.engine.classify import classify_exception, is_gpu_error
from sweep.engine.follower import FollowerChannel
from sweep.engine.isolation import isolated, seed_generators
from sweep.engine.process_state import ProcessState
from sweep.engine.resource_watch import ResourceWatch
from sweep.engine.user_traceback import one_line, user_traceback
from sweep.messages import Assignment, Outcome
from sweep.objective.event_files import OwnEventFiles, child_variables, new_collector
from sweep.objective.find import ObjectiveReference
from sweep.objective.pickled_function import PickledFunction
from sweep.objective.result import read_result
from sweep.script.reference import ScriptReference
from sweep.script.startup import sweep_event_files
from sweep.system.directory import SweepDirectory, TrialDirectory
from sweep.system.paths import moved
from sweep.system.ports import reserved_port
from sweep.system.processes import TRIAL_DIRECTORY
from sweep.system.ranks import Rank
from sweep.tracking.run_logger import RunLogger
from sweep.trial.channel import Channel
from sweep.trial.checkpoints import find_checkpoints
from sweep.trial.optuna_trial import StudyInfo
from sweep.trial.trial import Objective, Trial

RedirectOutput = Callable[[Path], AbstractContextManager[None]]
"""Writes what an objective prints to a file while the context is entered."""


@dataclass(frozen=True)
class AttemptSettings:
    """The settings that all attempts of a sweep share. Cheap to unpickle: no spec, no import of Optuna.

    Args:
        directory: the sweep's directory.
        objective: the function or the script to run.
        trial_directory: where the objective is imported and runs.
        env: environment variables to set, in addition to the inherited ones.
        metric: the name of the (first) metric that the sweep optimizes.
        goals: the names of all metrics that the sweep optimizes.
        pruning_metric: the name of the metric that the pruner uses.
        maximize: whether larger values of `metric` are better.
        device: the value of `trial.device`.
        keep_checkpoints: how many of the latest checkpoints of a trial are kept.
        is_define_by_run: whether the objective suggests its parameters itself.
        study: the information about the study that trials can read.
        code: the digest of the objective's file (`objective/digest.py`); empty if it has none.
        gpu: the GPUs of an attempt, or its share of one, unless its worker has another one.
        is_gpu_measured: whether the GPU memory that attempts use decides how many share a GPU.
        writes_system_scalars: whether the use of CPU, GPU and memory is written to the run directory.
        workers: how many workers run each trial together.
    """

    directory: SweepDirectory
    objective: ObjectiveReference
    trial_directory: Path
    env: Mapping[str, str]
    metric: str
    goals: tuple[str, ...]
    pruning_metric: str
    maximize: bool
    device: str
    keep_checkpoints: int
    is_define_by_run: bool
    study: StudyInfo
    gpu: float = 0.0
    is_gpu_measured: bool = False
    writes_system_scalars: bool = False
    code: str = ""
    workers: int = 1

    def moved(self, old: Path, new: Path) -> AttemptSettings:
        """The same settings for a machine that has a copy of the folder `old` in `new`."""
        objective = self.objective.moved(old, new)
        return replace(self, objective=objective, trial_directory=moved(self.trial_directory, old, new))


class ObjectiveImportError(Exception):
    """The module of the objective cannot be imported.

    Args:
        message: what failed, with the user's part of the traceback.
        error: the exception that the import raised.
    """

    def __init__(self, message: str, error: BaseException) -> None:
        super().__init__(message)
        self.error = error


class AttemptRunner:
    """Runs one attempt after another in this process. The objective is imported once.

    Before the import, the sweep's environment variables and the working directory are set, and stay set.

    Args:
        settings: the settings that all attempts share.
        redirect_output: where the output of the objective goes.
        in_user_process: whether this is the process of `sweep run --inline` or of a Python script, and not a
            worker. Then KeyboardInterrupt and quitting the debugger stop the sweep, and child processes that
            an attempt leaves behind are not killed, because other code may have started them.
        on_error: called with the exception that the objective raised, before the process state is restored.
        gpu: the GPUs of this process, or its share of one; None for that of the settings.

    Attributes:
        left: what the last attempt has left in this process and could not be restored.
        watch: watches what attempts use.
        ended: when the objective ended in the last attempt, in seconds since the epoch.

    Raises:
        ObjectiveImportError: the objective cannot be imported.
    """

    def __init__(
        self,
        settings: AttemptSettings,
        redirect_output: RedirectOutput,
        in_user_process: bool = False,
        on_error: Callable[[BaseException], None] = lambda error: None,
        gpu: float | None = None,
    ) -> None:
        self._settings = settings
        self._redirect_output = redirect_output
        self._in_user_process = in_user_process
        self._on_error = on_error
        objective = settings.objective
        self._is_script = isinstance(objective, ScriptReference)
        if not self._is_script:
            sweep_event_files.install()
        self._enter_user_process: Callable[[], AbstractContextManager[None]] = (
            nullcontext  # a script has its own process
            if isinstance(objective, ScriptReference)
            else objective.user_process().entered
        )
        os.chdir(settings.trial_directory)
        _set_environment(settings.env)
        with self._enter_user_process():
            self._objective = _load_objective(objective)
        self._collector = new_collector()
        self._state = ProcessState()
        self.watch = ResourceWatch(
            settings.gpu if gpu is None else gpu, settings.is_gpu_measured, settings.writes_system_scalars
        )
        self.left: list[str] = []
        self.ended = 0.0

    def run(self, assignment: Assignment, channel: Channel, rank: Rank | None = None) -> Outcome:
        """Run the objective once. Any exception that it raises becomes the outcome.

        Args:
            assignment: the attempt.
            channel: the trial's connection to the controller.
            rank: the place of this worker, if several run the trial. What it saves is discarded unless it is
                rank 0.
        """
        settings = self._settings
        directory = settings.directory.trial(assignment.number, assignment.label)
        directory.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as exits:
            if rank is None and settings.workers > 1:  # inline: there is no other one
                rank = Rank.only(exits.enter_context(reserved_port()))
            env = {TRIAL_DIRECTORY: str(directory.root), **({} if rank is None else rank.variables)}
            if not self._is_script:
                env |= child_variables(settings.env)
            state = ProcessState() if self._in_user_process else self._state
            self.left = exits.enter_context(isolated(env, not self._in_user_process, state))
            number = 0 if rank is None else rank.rank
            exits.enter_context(self._redirect_output(directory.output_of(number)))
            discarded = Path(exits.enter_context(tempfile.TemporaryDirectory())) if number > 0 else None
            if discarded is not None:
                channel = FollowerChannel(channel, self._is_script)
            exits.enter_context(self._enter_user_process())
            os.chdir(settings.trial_directory)
            if assignment.attempt > 1:
                print(f"--- attempt {assignment.attempt} ---", flush=True)
            checkpoints = find_checkpoints(directory.checkpoints)
            run = RunLogger(
                discarded or directory.root,
                assignment.session,
                settings.metric,
                settings.maximize,
                resume_after=checkpoints[-1].step if checkpoints else None,
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
                discarded,
            )
            call = (
                partial(self._follow, trial) if discarded else partial(self._evaluate, trial, run, directory)
            )
            outcome = self._call_objective(assignment, call, directory)
        if discarded:
            return outcome
        metrics = {tag: value for tag, (_, value) in run.last.items()}
        return replace(outcome, metrics=metrics, notes=tuple(trial.notes.values()))

    def _call_objective(
        self, assignment: Assignment, call: Callable[[], float | None], directory: TrialDirectory
    ) -> Outcome:
        outcome = partial(Outcome, assignment.number, assignment.attempt, repeat=assignment.repeat)
        try:
            seed_generators(assignment.seed)
            value = call()
        except BaseException as error:  # user code can raise anything
            self._on_error(error)
            if isinstance(error, (KeyboardInterrupt, BdbQuit)) and self._in_user_process:
                raise
            if is_gpu_error(error) and not self._is_script:
                self.left.append(f"a GPU that may be unusable now ({one_line(error)})")
            kind, gpu = classify_exception(error, directory.root), self.watch.gpu_use(error)
            if kind == "pruned":
                return outcome(kind, gpu=gpu)
            if kind == "interrupted":
                return outcome(kind, reason=str(error))
            return outcome(kind, reason=one_line(error), traceback=user_traceback(error), gpu=gpu)
        finally:
            self.ended = time.time()
        return outcome("returned", value=value, gpu=self.watch.gpu_use())

    def _evaluate(self, trial: Trial, run: RunLogger, directory: TrialDirectory) -> float:
        """Run the objective; returns the value of the metric."""
        settings = self._settings
        written = None if self._is_script else OwnEventFiles(trial, self._collector)
        with self.watch.watching(directory.system), written or nullcontext():
            result = self._objective(trial)
        problem = written.problem if written else ""
        value, metrics = read_result(result, settings.goals, trial.last_value, problem)
        run.add_final({settings.metric: value, **metrics})
        return value

    def _follow(self, trial: Trial) -> None:
        """Run the objective in a worker that is not rank 0: its result does not count."""
        try:
            self._objective(trial)
        finally:
            sweep_event_files.finish_writers()

    def _device(self) -> str:
        """The device of the settings; "cpu" if Ray has not assigned a GPU and the machine has none."""
        device = self._settings.device
        if device == "cuda" and self._in_user_process and not self._is_script:
            with suppress(ImportError):
                import torch

                if not torch.cuda.is_available():
                    print("resources.gpu: this machine has no GPU; trial.device is cpu", flush=True)
                    return "cpu"
        return device


def _set_environment(env: Mapping[str, str]) -> None:
    """Set environment variables, also those that this process has read before, where that is possible."""
    os.environ.update(env)
    time.tzset()
    if env.keys() & {"TMPDIR", "TEMP", "TMP"}:
        tempfile.tempdir = None
    folders = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = map(os.path.abspath, folders)


def _load_objective(objective: ObjectiveReference) -> Objective:
    try:
        return objective.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code can raise anything
        assert not isinstance(objective, ScriptReference)
        place = (
            objective.name if isinstance(objective, PickledFunction) else objective.source or objective.module
        )
        raise ObjectiveImportError(
            f"{place} cannot be imported: {one_line(error)}\n\n{user_traceback(error).rstrip()}", error
        ) from None
