"""The connection between a running trial and the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sweep.messages import Suggestion, TrialMessage

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Channel(Protocol):
    """A trial's connection to the controller."""

    def report(self, message: TrialMessage) -> None:
        """Send an intermediate value or another message. Returns at once."""

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        """Ask for the value of a parameter that is not declared. Blocks."""

    def should_prune(self) -> bool:
        """Ask whether the pruner stops the trial, given all reports so far. Blocks."""

    def must_end(self) -> bool:
        """Ask whether the trial should save its state and stop. Blocks until all reports have arrived too."""


class Interrupted(BaseException):
    """The sweep is being stopped, and the trial has saved the state from which its next attempt resumes.

    Not an `Exception`, so that objectives that catch exceptions do not catch it.
    """
