"""The base class of engines, and `PreparedSweep`, which an engine runs."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sweep.engine.attempt import AttemptSettings
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.errors import SweepError
from sweep.messages import Progress
from sweep.objective.digest import digest
from sweep.objective.find import ObjectiveReference
from sweep.objective.pickled_function import PickledFunction
from sweep.script.reference import ScriptReference
from sweep.study.storage import IndexedJournalStorage
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.tree import domains
from sweep.system import processes
from sweep.system.directory import SweepDirectory
from sweep.system.lock import DEAD_MACHINE_TIMEOUT, wait_for_fence
from sweep.system.trees import remove_tree
from sweep.trial.optuna_trial import StudyInfo


@dataclass(frozen=True)
class PreparedSweep:
    """A sweep that is ready to run: its objective and its directories are resolved.

    Args:
        spec: the validated sweep file.
        directory: the sweep's directory.
        objective: the function or the script to run.
        working_directory: where `sweep run` was called, absolute.
        trial_directory: the working directory of objectives, absolute.
        run_id: the id of this run of the sweep (`system/lock.py`); empty until the run starts.
        known: the storage with which this process has read the study of a sweep that is resumed.
    """

    spec: SweepSpec
    directory: SweepDirectory
    objective: ObjectiveReference
    working_directory: Path
    trial_directory: Path
    run_id: str = ""
    known: IndexedJournalStorage | None = None

    @property
    def attempt_settings(self) -> AttemptSettings:
        """The settings that workers need."""
        return AttemptSettings(
            directory=self.directory,
            objective=self.objective,
            trial_directory=self.trial_directory,
            # The variables of a script contain macros, which differ by trial: the script runner sets them.
            env={} if isinstance(self.objective, ScriptReference) else self.spec.env,
            metric=self.spec.metric.name,
            goals=tuple(goal.name for goal in self.spec.goals),
            pruning_metric=self.spec.pruning_metric.name,
            maximize=self.spec.metric.goal == "maximize",
            device="cuda" if self.spec.resources.gpus > 0 else "cpu",
            keep_checkpoints=self.spec.trial.keep_checkpoints,
            is_define_by_run=self.spec.is_define_by_run,
            study=StudyInfo(
                self.spec.name, tuple(goal.goal for goal in self.spec.goals), domains(self.spec.parameters)
            ),
            workers=self.spec.resources.workers,
            code="" if isinstance(self.objective, PickledFunction) else digest(self.objective),
            gpu=self.spec.resources.gpus,
            is_gpu_measured=self.spec.resources.is_auto,
            # With columns that TensorBoard infers, it would take all scalars for metrics.
            writes_system_scalars=self.spec.trial.system_metrics and not self.spec.is_define_by_run,
        )


class Engine(AbstractContextManager["Engine"]):
    """Runs the trials of a sweep. A context manager: on exit it stops the processes that it started."""

    @abstractmethod
    def slots(self, spec: SweepSpec) -> int:
        """Count how many trials of `spec` can run at the same time.

        Raises:
            InputError: not even one fits.
        """

    def kill_leftover_processes(self, directory: SweepDirectory) -> None:
        """Kill the processes that an earlier, killed run of a sweep has left behind."""
        processes.terminate(processes.find([directory.root], [directory.fence]))

    def clean_up_previous_run(self, directory: SweepDirectory, observer: Observer) -> None:
        """Ensure that no process of an earlier run of a sweep is alive. The caller holds the sweep lock.

        Raises:
            SweepError: a process does not terminate.
        """
        if not directory.fence.exists():
            return  # the sweep has never run
        if not wait_for_fence(directory.fence, patience=0):
            observer.on_note("waiting for processes of the previous run to terminate")
        self.kill_leftover_processes(directory)  # also those that have closed the fence
        remove_tree(directory.arriving)
        if not wait_for_fence(directory.fence, DEAD_MACHINE_TIMEOUT):
            raise SweepError(
                f"{directory.name}: processes of its previous run are alive, on this machine or another, "
                f"and do not terminate; `fuser {directory.fence}` lists them"
            )

    @abstractmethod
    def run(
        self, sweep: PreparedSweep, observer: Observer, interruption: Interruption, grace: float
    ) -> Progress:
        """Run trials until a stop rule is met, no trials are left, or the sweep is interrupted.

        Args:
            sweep: the sweep.
            observer: receives events.
            interruption: whether the sweep has been asked to stop.
            grace: how long running trials may then continue in order to reach a checkpoint, in seconds.

        Returns:
            The final state of the sweep. Interrupted trials count as running: they have no outcome.

        Raises:
            SweepError: the sweep could not continue.
        """
