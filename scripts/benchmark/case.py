"""`Case`: one thing to measure of one contestant."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from benchmark.work import Work

Values = dict[str, float]
"""What a repetition of a case has measured, by name."""


class CannotError(Exception):
    """The contestant cannot do this work; the message says why."""


@dataclass(frozen=True)
class Case:
    """One thing to measure of one contestant.

    Args:
        measurement: the letter of the measurement.
        contestant: the name of the contestant.
        label: what distinguishes it from the contestant's other cases.
        work: the work to do.
    """

    measurement: str
    contestant: str
    label: str
    work: Work

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        fields = json.loads(text)
        return cls(**{**fields, "work": Work(**fields["work"])})

    def __str__(self) -> str:
        return f"({self.measurement}) {self.contestant}: {self.label}"
