"""The retry rules: a plain question about a failed attempt."""

from __future__ import annotations

from sweep.messages import OutcomeKind
from sweep.sweepfile.model import TrialRules

_LONGEST_DELAY = 600.0  # seconds


class RetryRules:
    """The sweep file's `trial.retries`, `retry_on` and `backoff`.

    Args:
        rules: the sweep file's.
    """

    def __init__(self, rules: TrialRules) -> None:
        self._rules = rules

    def counts(self, kind: OutcomeKind) -> bool:
        """Whether an attempt that ended so uses up one of the trial's retries. A lost machine is not the
        trial's fault."""
        return kind != "lost_node"

    def allow(self, kind: OutcomeKind, failures: int) -> bool:
        """Whether a failed attempt is to be run again.

        Args:
            kind: how it ended. Having returned (no number) is the objective's error.
            failures: how many attempts of the trial have counted so far, this one included.
        """
        cause = "error" if kind == "returned" else kind
        return cause in self._rules.retry_on and (not self.counts(kind) or failures <= self._rules.retries)

    def delay(self, failures: int) -> float:
        """Seconds to wait before the next attempt: `backoff`, and twice as long after each further one."""
        return min(
            self._rules.backoff * 2.0 ** min(max(0, failures - 1), 30),
            max(_LONGEST_DELAY, self._rules.backoff),
        )
