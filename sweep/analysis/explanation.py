"""`Explanation`: the results of a sweep, as sentences with their evidence and the numbers behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from threadpoolctl import threadpool_limits

from sweep.analysis.cost import cost_statements
from sweep.analysis.failure_health import failure_statements
from sweep.analysis.formatting import html, printable
from sweep.analysis.next_command import next_statement
from sweep.analysis.objective_statements import objective_statements
from sweep.analysis.pruning_health import pruning_statements
from sweep.analysis.statement import Statement, Topic
from sweep.analysis.view import SweepView

__all__ = ["Explanation", "Statement", "Topic", "explain"]

_TOPICS: tuple[Topic, ...] = get_args(Topic)
_URGENT = ("failures", "failing_choice", "failing_range", "pruner_eager", "at_bound", "pruner_idle", "idle")
"""The statements with which the topic `health` begins."""


@dataclass(frozen=True)
class Explanation:
    """The results of a sweep so far.

    Args:
        name: the sweep's name.
        state: running, finished or interrupted.
        statements: in the order in which they are shown, the most useful first within a topic.
    """

    name: str
    state: str
    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        """One sentence on each line, with its evidence."""
        lines = (
            f"{printable(item.text)}{f' ({printable(item.evidence)})' if item.evidence else ''}"
            for item in self.statements
        )
        return "\n".join([f"{printable(self.name)} ({self.state})", *lines])

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li>{html(item.text)}"
            + (f' <span style="opacity: 0.65">({html(item.evidence)})</span>' if item.evidence else "")
            + "</li>"
            for item in self.statements
        )
        return f"<b>{html(self.name)}</b> ({self.state})<ul>{items}</ul>"

    def of(self, *keys: str) -> list[Statement]:
        """The statements with one of these keys."""
        return [statement for statement in self.statements if statement.key in keys]

    def by_topic(self) -> list[tuple[Topic, list[Statement]]]:
        """The topics that have statements, with these."""
        found = ((topic, [said for said in self.statements if said.topic == topic]) for topic in _TOPICS)
        return [(topic, statements) for topic, statements in found if statements]

    def to_dict(self) -> dict[str, Any]:
        """The explanation as `sweep explain --json` prints it."""
        return {
            "version": 1,
            "name": self.name,
            "state": self.state,
            "statements": [vars(statement) for statement in self.statements],
        }


def _place(statement: Statement) -> tuple[int, int]:
    """Where a statement belongs: by its topic, and those first that ask for something to be done."""
    place = _URGENT.index(statement.key) if statement.key in _URGENT else len(_URGENT)
    return _TOPICS.index(statement.topic), place


def explain(view: SweepView) -> Explanation:
    """The results of a sweep so far. Works on every sweep; an empty one gets a sentence that says so."""
    with threadpool_limits(1):  # the matrices are small: threads would mostly wait for each other
        statements = [
            *objective_statements(view),
            *failure_statements(view),
            *pruning_statements(view),
            *cost_statements(view),
        ]
    statements.append(next_statement(view, statements))
    statements.sort(key=_place)  # stable
    return Explanation(view.spec.name, view.state, tuple(statements))
