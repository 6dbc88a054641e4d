"""Formats numbers, durations, parameters, counts of trials and the user's texts for display."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape as html_escape
from typing import Any

_CONTROLS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal would carry out: control characters, and those that change the direction of writing. The
rest are separators of lines, and halves of characters, which cannot be encoded. Newline is not among them."""
_MOST_WRITTEN = 9
"""Significant digits of a float that somebody may have written. A sampled one has at least twelve."""
_NEAR_1 = 0.01
"""How much of a float's distance from 1 rounding can change: for a decay rate it matters, not the value."""
_BREAK = re.compile(r"[ \t]*[\t\n\r\v\f\x85\u2028\u2029][\s]*")


def printable(text: str) -> str:
    """A text from a user (a name, a choice, a message) on one line, as a terminal can safely show it.

    Line breaks and tabs become blanks, and other control characters escapes such as `\\u001b`.
    """
    return text if text.isprintable() else escaped(_BREAK.sub(" ", text))


def escaped(text: str) -> str:
    """A text of several lines, with escapes in place of control characters. They are valid in JSON."""
    return text if text.isprintable() else _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def html(text: str) -> str:
    """A text from a user as HTML that shows it."""
    return html_escape(printable(text))


def number(value: float | None) -> str:
    """A metric's value, with six significant digits."""
    return "-" if value is None else f"{value:.6g}"


def span(low: float, high: float) -> str:
    """An interval: 0.043 to 0.12, with as many digits as its width deserves."""
    width, largest = abs(high - low), max(abs(low), abs(high))
    if not 0 < width < math.inf:
        return f"{number(low)} to {number(high)}"
    places = 1 - math.floor(math.log10(width))
    significant = math.floor(math.log10(largest)) + 1 + places
    significant = min(max(significant, 6), 15)  # with 6, the ends of a narrow interval can look alike
    return " to ".join(f"{round(end, max(places, 0)):.{significant}g}" for end in (low, high))


def plural(count: int, noun: str) -> str:
    """A count with its noun: 1 trial, 2 trials."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def run(number: int, label: str) -> str:
    """The name of a trial or of one of its repeats: 7, 7/seed-0."""
    return f"{number}/{label}" if label else str(number)


def parameter(value: Any) -> str:
    """A parameter's value. A float that somebody has written is exact, others have four significant digits.

    Near 1 they have more: 0.99996 and 0.99999 are not 1.
    """
    if not isinstance(value, float):
        return printable(str(value))
    written = f"{value:.{_MOST_WRITTEN}g}"
    if float(written) == value:
        return written
    texts = (f"{value:.{digits}g}" for digits in range(4, 18))
    return next((text for text in texts if abs(float(text) - value) <= _NEAR_1 * abs(1 - value)), str(value))


def distinct(values: Sequence[Any]) -> list[str]:
    """The values of one parameter. Different ones that would look alike are shown as in Python."""
    texts = [parameter(value) for value in values]
    looks: dict[str, set[Any]] = {}
    for text, value in zip(texts, values, strict=True):
        looks.setdefault(text, set()).add(_identity(value))
    return [
        text if len(looks[text]) == 1 else printable(repr(value))
        for text, value in zip(texts, values, strict=True)
    ]


def _identity(value: Any) -> Any:
    """What two values have in common if they are equal in a sweep file: 1 and 1.0 are, 1 and true are not."""
    return repr(value) if isinstance(value, (list, tuple, dict)) else (isinstance(value, bool), value)


def parameters(params: Mapping[str, Any]) -> str:
    """All parameters on one line."""
    return " ".join(f"{printable(name)}={parameter(value)}" for name, value in params.items())


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
