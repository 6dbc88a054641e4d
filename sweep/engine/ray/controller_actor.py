"""The Controller as a Ray actor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sweep.messages import (
    AttemptResult,
    NextStep,
    Outcome,
    Progress,
    RunningAttempt,
    Suggestion,
    TrialMessage,
)

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.distributions import BaseDistribution

    from sweep.sweepfile import SweepSpec
    from sweep.system.directory import SweepDirectory


class NotIntroduced(Exception):
    """The controller has taken a dead one's place and does not know yet what is running."""


class RayController:
    """Hands every call to a `Controller`.

    Whoever gets an actor's handle imports its class: were that `Controller` itself, every worker would import
    Optuna and pydantic, a third of a second of processor time each.

    When it is killed, Ray starts another one in its place. That has to be introduced (`adopt`) before it
    takes part in the course of things; trials can report to it at once.

    It has no `Sweep`: Ray forgets large arguments, and with them how to start another one; the objective may
    be a function with all that it captures.
    """

    def __init__(
        self,
        spec: SweepSpec,
        directory: SweepDirectory,
        run_id: str,
        working_directory: Path,
        slots: int,
        keeps_report_events: bool,
    ) -> None:
        import ray

        from sweep.controller.controller import Controller
        from sweep.system.lock import join_run
        from sweep.system.processes import exit_with_parent

        exit_with_parent()
        os.chdir(working_directory)  # a database may be named by a relative path
        self._fence = join_run(directory.fence, directory.lock, run_id)
        self._controller = Controller(spec, directory, slots, run_id, keeps_report_events)
        with warnings.catch_warnings():  # it calls something that Ray itself has deprecated
            warnings.simplefilter("ignore")
            self._is_introduced: bool = not ray.get_runtime_context().was_current_actor_reconstructed

    def _check_introduced(self) -> None:
        if not self._is_introduced:
            raise NotIntroduced

    def next_step(self, outcome: Outcome | None) -> NextStep:
        self._check_introduced()
        return self._controller.next_step(outcome)

    def finish(self, outcome: Outcome) -> NextStep:
        self._check_introduced()
        result = self._controller.finish(outcome)
        return NextStep(result, None, self._controller.ask_again_in(), self._controller.take_report_events())

    def report(self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int) -> None:
        self._controller.report(number, attempt, reports, repeat)

    def suggest(
        self,
        number: int,
        attempt: int,
        reports: Iterable[TrialMessage],
        repeat: int,
        name: str,
        distribution: BaseDistribution,
    ) -> Suggestion:
        return self._controller.suggest(number, attempt, reports, repeat, name, distribution)

    def should_prune(self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int) -> bool:
        return self._controller.should_prune(number, attempt, reports, repeat)

    def must_end(self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int) -> bool:
        return self._controller.must_end(number, attempt, reports, repeat)

    def adopt(self, running: Iterable[RunningAttempt]) -> None:
        self._controller.adopt(running)
        self._is_introduced = True

    def give_way(self) -> None:
        self._check_introduced()
        self._controller.give_way()

    def resubmit(self, numbers: Iterable[int]) -> list[int]:
        self._check_introduced()
        return self._controller.resubmit(numbers)

    def enqueue(self, points: Iterable[Mapping[str, Any]], token: str) -> int:
        self._check_introduced()
        return self._controller.enqueue(points, token)

    def give_back(self, number: int, attempt: int, repeat: int) -> None:
        self._check_introduced()
        self._controller.give_back(number, attempt, repeat)

    def abandon(self, number: int, reason: str) -> AttemptResult | None:
        self._check_introduced()
        return self._controller.abandon(number, reason)

    def progress(self) -> Progress:
        self._check_introduced()
        return self._controller.progress()

    def close(self) -> Progress:
        return self._controller.close()
