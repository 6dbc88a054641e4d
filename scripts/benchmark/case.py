"""`Case`, one thing to measure of one contestant, and `Measurement`, all cases that answer one question."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.work import Work

Values = dict[str, float]
"""What a repetition of a case has measured, by name."""


@dataclass(frozen=True)
class Case:
    """One thing to measure of one contestant.

    Args:
        measurement: the letter of the measurement.
        contestant: the name of the contestant.
        label: what distinguishes it from the contestant's other cases.
        work: the work to do.
        skipped: why it is not measured, for a footnote of the table.
    """

    measurement: str
    contestant: str
    label: str
    work: Work
    skipped: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        fields = json.loads(text)
        return cls(**{**fields, "work": Work(**fields["work"])})

    def __str__(self) -> str:
        return f"({self.measurement}) {self.contestant}: {self.label}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        heading: its heading.
        label: the label of the cases whose values it shows.
        value: the name of the value.
        form: the format of its median.
        ratio: whether to show how many times the first contestant's value each other one is.
    """

    heading: str
    label: str
    value: str
    form: str = ".1f"
    ratio: bool = False


@dataclass(frozen=True)
class Measurement:
    """A question, and how to answer it.

    Args:
        title: the title of its tables.
        about: what the contestants do, and what is measured.
        cases: its cases, given whether the counts are tiny, and the number of trials if the user has set it.
        measure: measures a case, in a separate process, with a directory for its files.
        tables: the columns of its tables, by their headings.
        limit: the seconds that one case can take.
        is_repeated: whether there are several repetitions: not of what takes long.
        keeps_folder: whether the directory is the same for all cases and repetitions.
    """

    title: str
    about: str
    cases: Callable[[bool, int | None], Sequence[Case]]
    measure: Callable[[Case, Path], Values]
    tables: Mapping[str, Sequence[Column]]
    limit: float = 900.0
    is_repeated: bool = True
    keeps_folder: bool = False
