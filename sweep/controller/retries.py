"""Decides whether and when a failed attempt is retried."""

from __future__ import annotations

from sweep.messages import OutcomeKind
from sweep.sweepfile.model import TrialRules

FREE_LOSSES = 10
"""So many times in a row, without a new step, a run can lose its machine before it is taken for the cause."""
_MAX_DELAY = 600.0  # seconds


def counts(kind: OutcomeKind, losses: int) -> bool:
    """Whether a failed attempt counts against the retries.

    A lost machine does not. But a trial can be the cause, for example if it needs more memory than machines
    have. Then each attempt would take down another machine, and the other trials on it.

    Args:
        kind: how it ended.
        losses: how many attempts in a row, this one included, lost their machine and reported no new step.
    """
    return kind != "lost_node" or losses > FREE_LOSSES


def allows_retry(rules: TrialRules, kind: OutcomeKind, failures: int, losses: int) -> bool:
    """Whether another attempt follows a failed one.

    Args:
        rules: the sweep file's `trial`, with `retries` and `retry_on`.
        kind: how it ended. A return value that is not a number counts as an error of the objective.
        failures: the number of attempts that count against the retries, this one included.
        losses: as for `counts`.
    """
    cause = "error" if kind == "returned" else kind
    return cause in rules.retry_on and (not counts(kind, losses) or failures <= rules.retries)


def retry_delay(rules: TrialRules, failures: int) -> float:
    """Seconds until the next attempt: `trial.backoff`, doubled after each further failure."""
    return min(rules.backoff * 2.0 ** min(max(0, failures - 1), 30), max(_MAX_DELAY, rules.backoff))
