"""The sources of a script's metrics, and which of them counts for each metric."""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import IntEnum
from typing import NamedTuple

from sweep.errors import nearest
from sweep.trial.scalars import STEPS

_MOST_NAMES = 20
"""How many names a message lists."""


class MetricRecord(NamedTuple):
    """Numbers that a script has reported together. `step` is None if it reported none."""

    step: int | None
    values: dict[str, float]


class MetricSource(IntEnum):
    """A source of metrics. If two sources have the same metric, the lower one counts."""

    REPORT = 0
    """`sweep.report`."""
    REGEX = 1
    """The sweep file's regular expressions."""
    JSON = 2
    """JSON lines."""
    WANDB = 3
    """W&B's package."""
    EVENTS = 4
    """TensorBoard's event files."""


class MetricSources:
    """Ensures that each metric comes from one source, and that each of its values has a step.

    Args:
        reserved: names of the sweep's own metrics, which a script cannot report.
    """

    def __init__(self, reserved: Container[str] = ()) -> None:
        self._reserved = reserved
        self._sources: dict[str, MetricSource] = {}
        self._next_steps = dict.fromkeys(MetricSource, 0)

    @property
    def names(self) -> list[str]:
        """All metrics that have been reported, in the order of their first values."""
        return list(self._sources)

    def accepts(self, source: MetricSource, name: str) -> bool:
        """Register a value of a metric, and return whether this source counts for it."""
        if name in self._reserved:
            return False
        current = self._sources.get(name)
        if current is None or source < current:
            self._sources[name] = source
        return self._sources[name] == source

    def select(self, source: MetricSource, record: MetricRecord) -> tuple[int, dict[str, float]] | None:
        """The step of a record, and the values for which its source counts. Without a step it is numbered."""
        step = self._next_steps[source] if record.step is None else int(record.step)
        if not 0 <= step < STEPS:
            return None
        self._next_steps[source] = max(self._next_steps[source], step + 1)
        values = {name: value for name, value in record.values.items() if self.accepts(source, name)}
        return (step, values) if values else None


def explain_missing_metric(
    metric: str,
    names: list[str],
    has_patterns: bool = False,
    invalid_steps: Mapping[str, int] | None = None,
    unread: str | None = None,
) -> str:
    """Create the message about a script that has not reported the sweep's metric.

    Args:
        metric: the metric's name.
        names: the metrics that the script did report.
        has_patterns: whether the sweep file has regular expressions for its output.
        invalid_steps: steps that are out of range, by the names of the metrics that had them.
        unread: a printed line that may have been meant as a report, and what is wrong with it.
    """
    text = f"the script never reported {metric!r}; "
    if invalid_steps and metric in invalid_steps:
        step = invalid_steps[metric]
        return text + f"it was reported at step {step}, but steps are whole numbers from 0 to {STEPS - 1}"
    if not names and has_patterns:
        return text + "no line of its output matches an expression of metrics_from (output.log has the lines)"
    if not names:
        problem = f"{unread}; " if unread else ""
        return (
            text + f'it reported nothing: {problem}have it print lines such as {{"step": 1, "{metric}": 0.5}}'
        )
    near = nearest(metric, names)
    if near is not None:
        return text + f"it reported {_quoted(near)}: did you mean it?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return text + f"it reported {', '.join(map(_quoted, names[:_MOST_NAMES]))}{more}"


def _quoted(name: str) -> str:
    """A name, in quotes if it is empty or has white space at an end."""
    return name if name == name.strip() and name else repr(name)
