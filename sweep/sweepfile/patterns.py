"""The regular expressions of `metrics_from`: their validation, and the metrics that they match."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

STEP_GROUP, VALUE_GROUP = "step", "value"


def metric_names(patterns: Sequence[str] | Mapping[str, str]) -> list[str]:
    """The metrics that patterns match: the names of their groups, or the keys of a mapping."""
    if isinstance(patterns, Mapping):
        return list(patterns)
    groups = (name for pattern in patterns for name in re.compile(pattern).groupindex)
    return list(dict.fromkeys(name for name in groups if name != STEP_GROUP))


def group_of_value(pattern: re.Pattern[str]) -> int:
    """The first group that is not the step."""
    step = pattern.groupindex.get(STEP_GROUP)
    return next(number for number in range(1, pattern.groups + 1) if number != step)


def check_pattern(pattern: str) -> str:
    """Ensure that a regular expression has groups that are named after metrics.

    Raises:
        ValueError: the pattern is invalid, or has no named group.
    """
    if not _compile(pattern).groupindex:
        raise ValueError(
            f"{pattern!r} has no named group; name groups after metrics, and the step 'step', for example "
            r"'epoch (?P<step>\d+).*loss=(?P<loss>\S+)'"
        )
    return pattern


def check_metric_pattern(pattern: str) -> str:
    """Ensure that the regular expression of a single metric has a group for its value.

    Raises:
        ValueError: the pattern is invalid, or has no such group.
    """
    compiled = _compile(pattern)
    if compiled.groups - (STEP_GROUP in compiled.groupindex) < 1:
        raise ValueError(rf"{pattern!r} has no group for the value; write for example 'loss=(\S+)'")
    return pattern


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
