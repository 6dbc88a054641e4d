"""`Statement`: one result of a sweep, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Topic = Literal["best", "parameters", "health", "cost", "next"]
"""The section to which a statement belongs, in the order in which they are shown."""


@dataclass(frozen=True)
class Statement:
    """One result of a sweep, in a sentence.

    Args:
        topic: the section to which it belongs.
        key: what kind of statement it is, for programs: `best`, `importance`, `at_bound`. A key can occur
            several times, for example once for each parameter.
        text: one sentence in plain text.
        evidence: what the sentence is based on, in plain text, without a final period; can be empty.
        data: the numbers of the sentence, as JSON has them.
    """

    topic: Topic
    key: str
    text: str
    evidence: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
