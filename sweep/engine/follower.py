"""The channel of a trial in a worker that is not rank 0: rank 0 alone reports, and decides when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.messages import Suggestion, TrialMessage
from sweep.trial.channel import Channel

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class FollowerChannel:
    """A channel without reports and decisions.

    Ranks wait for each other. If two of them asked the pruner, one could stop and the other wait forever.

    Args:
        channel: the connection to the controller.
        is_script: whether a script runs. It receives SIGTERM at the same time on all ranks.
    """

    channel: Channel
    is_script: bool

    def report(self, message: TrialMessage) -> None:
        """Discard a message."""

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        return self.channel.suggest(name, distribution)

    def should_prune(self) -> bool:
        return False

    def must_end(self) -> bool:
        return self.is_script and self.channel.must_end()
