"""Decides whether and when a failed attempt is retried."""

from __future__ import annotations

from sweep.messages import OutcomeKind
from sweep.sweepfile.model import TrialRules

_MAX_DELAY = 600.0  # seconds


class RetryRules:
    """The sweep file's `trial.retries`, `retry_on` and `backoff`.

    Args:
        rules: the sweep file's `trial`.
    """

    def __init__(self, rules: TrialRules) -> None:
        self._rules = rules

    def counts(self, kind: OutcomeKind) -> bool:
        """Whether an attempt with this outcome counts against the retries. A lost machine does not."""
        return kind != "lost_node"

    def allow(self, kind: OutcomeKind, failures: int) -> bool:
        """Whether a failed attempt is retried.

        Args:
            kind: how it ended. A return value that is not a number counts as an error of the objective.
            failures: the number of attempts that count against the retries, this one included.
        """
        cause = "error" if kind == "returned" else kind
        return cause in self._rules.retry_on and (not self.counts(kind) or failures <= self._rules.retries)

    def delay(self, failures: int) -> float:
        """Seconds until the next attempt: `backoff`, doubled after each further failure."""
        return min(
            self._rules.backoff * 2.0 ** min(max(0, failures - 1), 30),
            max(_MAX_DELAY, self._rules.backoff),
        )
