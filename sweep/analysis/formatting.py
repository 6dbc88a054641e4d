"""Formats numbers, durations, parameters and counts of trials for display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None) -> str:
    """A metric's value, with six significant digits."""
    return "-" if value is None else f"{value:.6g}"


def plural(count: int, noun: str) -> str:
    """A count with its noun: 1 trial, 2 trials."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def run(number: int, label: str) -> str:
    """The name of a trial or of one of its repeats: 7, 7/seed-0."""
    return f"{number}/{label}" if label else str(number)


def parameter(value: Any) -> str:
    """A parameter's value; floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def parameters(params: Mapping[str, Any]) -> str:
    """All parameters on one line."""
    return " ".join(f"{name}={parameter(value)}" for name, value in params.items())


def duration(seconds: float) -> str:
    """A duration in its two largest units: 0.4 s, 12 s, 3m05s, 2h07m."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def counts(numbers: Mapping[str, int]) -> str:
    """The number of trials by outcome, without zeros: 3 complete, 1 failed."""
    return ", ".join(f"{count} {name}" for name, count in numbers.items() if count) or "none yet"
