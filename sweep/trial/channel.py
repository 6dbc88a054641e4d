"""The connection between a running trial and the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sweep.messages import Suggestion, TrialMessage

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Channel(Protocol):
    """A trial's connection to the controller."""

    def report(self, message: TrialMessage) -> None:
        """Send an intermediate value, or anything else that the trial says; returns at once."""

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        """Ask for a parameter that is not declared; waits for it."""

    def should_prune(self) -> bool:
        """The pruner's verdict on everything that was reported so far; waits for it."""

    def must_end(self) -> bool:
        """Whether the trial has to end as soon as nothing is lost by that. All reports have arrived then."""


class Interrupted(BaseException):
    """The sweep is being stopped, and the trial has saved what its next attempt goes on from.

    Not an `Exception`: objectives that catch those need not know of it.
    """
