"""The regular expressions of `metrics_from`: validation, and the metrics that they find."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

STEP_GROUP, VALUE_GROUP = "step", "value"


def metric_names(patterns: Sequence[str] | Mapping[str, str]) -> list[str]:
    """The metrics that patterns find: the names of their groups, or the keys of a mapping."""
    if isinstance(patterns, Mapping):
        return list(patterns)
    groups = (name for pattern in patterns for name in re.compile(pattern).groupindex)
    return list(dict.fromkeys(name for name in groups if name != STEP_GROUP))


def group_of_value(pattern: re.Pattern[str]) -> int:
    """The first group that is not the step."""
    step = pattern.groupindex.get(STEP_GROUP)
    return next(number for number in range(1, pattern.groups + 1) if number != step)


def pattern_error(pattern: str, is_for_one: bool) -> str | None:
    """Why a pattern is invalid, or None.

    Args:
        pattern: the regular expression.
        is_for_one: whether it finds a single metric, whose name is given separately.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        place = (
            f" at character {error.pos + 1}" if isinstance(error, re.error) and error.pos is not None else ""
        )
        what = error.msg if isinstance(error, re.error) else str(error)
        return f"{pattern!r} is not a regular expression: {what}{place}"
    if is_for_one:
        if compiled.groups - (STEP_GROUP in compiled.groupindex) < 1:
            return rf"{pattern!r} has no group for the value; write for example 'loss=(\S+)'"
        return None
    if not compiled.groupindex:
        return (
            f"{pattern!r} has no named group; name groups after metrics, and the step 'step', for example "
            r"'epoch (?P<step>\d+).*loss=(?P<loss>\S+)'"
        )
    return None
