"""What an engine is, and what it needs to know."""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from sweep.engine.attempt import AttemptSettings
from sweep.errors import SweepError
from sweep.messages import Assignment, AttemptResult, Progress, ReportEvent
from sweep.objective.find import ObjectiveReference
from sweep.script.reference import ScriptReference
from sweep.sweepfile import SweepSpec
from sweep.system import processes
from sweep.system.directory import SweepDirectory
from sweep.system.lock import wait_for_fence
from sweep.trial.optuna_trial import StudyInfo

_PATIENCE = 60.0  # seconds
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Sweep:
    """A sweep that is ready to run.

    Args:
        spec: what to do.
        directory: where it lies.
        objective: what to run.
        working_directory: where `sweep run` was typed, absolute.
        trial_directory: where objectives run, absolute.
        run_id: of this run of it (`core/lock.py`); not known before it begins.
    """

    spec: SweepSpec
    directory: SweepDirectory
    objective: ObjectiveReference
    working_directory: Path
    trial_directory: Path
    run_id: str = ""

    @property
    def attempt_settings(self) -> AttemptSettings:
        """What a worker needs of it."""
        return AttemptSettings(
            directory=self.directory,
            objective=self.objective,
            working_directory=self.working_directory,
            trial_directory=self.trial_directory,
            # A script's hold macros, which are different for each trial; it gets them itself.
            variables={} if isinstance(self.objective, ScriptReference) else self.spec.env,
            metric=self.spec.metric.name,
            goals=tuple(goal.name for goal in self.spec.goals),
            pruning_metric=self.spec.pruning_metric.name,
            maximize=self.spec.metric.goal == "maximize",
            device="cuda" if self.spec.resources.gpu > 0 else "cpu",
            keep_checkpoints=self.spec.trial.keep_checkpoints,
            is_define_by_run=self.spec.is_define_by_run,
            study=StudyInfo(self.spec.name, tuple(goal.goal for goal in self.spec.goals)),
        )


class Observer:
    """Is told what happens while a sweep runs. This one does nothing of it; subclasses show it."""

    wants_ticks = False
    """Whether it is worth asking the controller a few times a second."""
    wants_reports = False
    """Whether it wants to be told of every report."""

    def starting(self, what: str) -> None:
        """Something that takes seconds begins."""

    def note(self, text: str) -> None:
        """Something worth knowing, once."""

    def opened(self, slots: int, progress: Progress) -> None:
        """Trials can start now."""

    def started(self, assignment: Assignment) -> None:
        """An attempt has been given to a worker."""

    def reported(self, report_events: Iterable[ReportEvent]) -> None:
        """Trials have reported values; those of a trial come before its end."""

    def ended(self, result: AttemptResult) -> None:
        """An attempt has ended."""

    def tick(self, progress: Progress) -> None:
        """How things stand, now and then; a few times a second if `wants_ticks`."""


class Interruption:
    """Whether the sweep was asked to stop, by Ctrl-C or by a signal; a flag, so that no call is torn.

    The second request raises KeyboardInterrupt, wherever the program is; the third ends the process at once.

    Attributes:
        signal: the number of the signal that asked, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._raises = False
        self._before: dict[signal.Signals, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[Interruption]:
        """Catch Ctrl-C, SIGTERM and the loss of the terminal meanwhile.

        Only the main thread can; elsewhere nothing is caught. What is ignored (`nohup`) stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._before = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
        self.listen_again()
        try:
            yield self
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within `raising`: raise only at the end of the block, for what must not be torn."""
        self._raises, before = False, self._raises
        already = self.signal
        try:
            yield
        finally:
            self._raises = before
        if before and self.signal is not None and already is None:
            raise KeyboardInterrupt

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at a request meanwhile: for code that knows nothing of the flag."""
        self._raises, before = True, self._raises
        try:
            if self.signal is not None:
                raise KeyboardInterrupt
            yield
        finally:
            self._raises = before

    def listen_again(self) -> None:
        """Within `listening`: Ray has put its own handlers into place since."""
        for number in self._before:
            signal.signal(number, self._on_signal)

    def request(self, number: int) -> None:
        """Ask as the signal `number` would."""
        if self.signal is None:
            self.signal = number

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.signal = number
        if self._raises:
            raise KeyboardInterrupt


class Engine(ABC):
    """Runs the trials of a sweep. A context manager: what it started, it ends."""

    @abstractmethod
    def __enter__(self) -> Engine: ...

    @abstractmethod
    def __exit__(self, *error: object) -> None: ...

    @abstractmethod
    def slots(self, spec: SweepSpec) -> int:
        """How many trials of `spec` can run at once here.

        Raises:
            InputError: not even one.
        """

    def end_survivors(self, directory: SweepDirectory) -> None:
        """End what a killed run of a sweep has left behind."""
        processes.terminate(processes.find([directory.root], [directory.fence]))

    def clear(self, directory: SweepDirectory, observer: Observer) -> None:
        """See to it that nothing of an earlier run of a sweep lives; the sweep lock is held.

        Raises:
            SweepError: something does not end.
        """
        if not directory.fence.exists():
            return  # nothing has been run here
        if not wait_for_fence(directory.fence, patience=0):
            observer.note("waiting for what is left of the last run to end")
        self.end_survivors(directory)  # those too that have got rid of the fence
        if not wait_for_fence(directory.fence, _PATIENCE):
            raise SweepError(
                f"{directory.name}: processes of its last run are still there, on this machine or another, "
                f"and do not end: `fuser {directory.fence}` shows them"
            )

    @abstractmethod
    def run(self, sweep: Sweep, observer: Observer, interruption: Interruption, grace: float) -> Progress:
        """Run trials until a stop rule is reached, there is nothing to do any more, or it is interrupted.

        Args:
            sweep: what to run.
            observer: is told what happens.
            interruption: asks for an end.
            grace: how long running trials may go on then to reach a checkpoint, in seconds.

        Returns:
            where the sweep stands then. Trials that were interrupted count as running: they have no outcome.

        Raises:
            SweepError: it could not do its work.
        """
