"""The Controller as a Ray actor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sweep.core.messages import Outcome, Progress, Report, Turn

if TYPE_CHECKING:
    from sweep.directory import SweepDirectory
    from sweep.spec import SweepSpec


class RayController:
    """Hands every call to a `Controller`.

    Whoever gets an actor's handle imports its class: were that `Controller` itself, every worker would import
    Optuna and pydantic, a third of a second of processor time each.
    """

    def __init__(self, spec: SweepSpec, directory: SweepDirectory, slots: int) -> None:
        from sweep.core.controller import Controller

        self._controller = Controller(spec, directory, slots)

    def turn(self, outcome: Outcome | None) -> Turn:
        return self._controller.turn(outcome)

    def report(self, number: int, attempt: int, reports: Iterable[Report]) -> None:
        self._controller.report(number, attempt, reports)

    def should_prune(self, number: int, attempt: int, reports: Iterable[Report]) -> bool:
        return self._controller.should_prune(number, attempt, reports)

    def progress(self) -> Progress:
        return self._controller.progress()

    def close(self) -> Progress:
        return self._controller.close()
