"""The inline engine: one trial after another in this process, without Ray. `breakpoint()` works."""

from __future__ import annotations

import os

from sweep.core.controller import Controller
from sweep.core.messages import Assignment, Progress, Report
from sweep.engine.attempt import AttemptRunner, ObjectiveImportError
from sweep.engine.base import Engine, Interruption, Observer, Sweep
from sweep.engine.surroundings import copied_output
from sweep.errors import SweepError
from sweep.spec import SweepSpec


class InlineEngine(Engine):
    """Runs trials in the process that calls it."""

    def __enter__(self) -> InlineEngine:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def slots(self, spec: SweepSpec) -> int:
        return 1

    def run(self, sweep: Sweep, observer: Observer, interruption: Interruption) -> Progress:
        os.chdir(sweep.working_directory)
        try:
            runner = AttemptRunner(sweep.attempt_settings, copied_output, passes_interrupts=True)
        except ObjectiveImportError as error:
            raise SweepError(str(error)) from None
        controller = Controller(sweep.spec, sweep.directory, slots=1)
        observer.opened(1, controller.progress())
        try:
            while interruption.signal is None and (assignment := controller.next()) is not None:
                observer.started(assignment)
                with interruption.raising():
                    outcome = runner.run(assignment, _DirectChannel(controller, assignment, interruption))
                ending = controller.finish(outcome)
                if ending is not None:
                    observer.ended(ending)
        except KeyboardInterrupt:
            if interruption.signal is None:  # raised by the objective, not by a signal we know of
                raise
        return controller.close()


class _DirectChannel:
    """Calls the controller, which lives in the same process."""

    def __init__(self, controller: Controller, assignment: Assignment, interruption: Interruption) -> None:
        self._controller = controller
        self._interruption = interruption
        self._trial = assignment.number, assignment.attempt

    def report(self, report: Report) -> None:
        with self._interruption.waiting():
            self._controller.report(*self._trial, [report])

    def should_prune(self) -> bool:
        with self._interruption.waiting():
            return self._controller.should_prune(*self._trial, [])
