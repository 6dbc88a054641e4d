"""Where a script's metrics may come from, and which of them counts."""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import IntEnum

from sweep.errors import nearest
from sweep.script.wandb_offline import Record
from sweep.trial.scalars import STEPS


class Source(IntEnum):
    """Where metrics come from; of two that give the same metric the first one here counts."""

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


class Sources:
    """Sees to it that each metric comes from one source, and that each of its values has a step.

    Args:
        reserved: names that are the sweep's own; what a script calls so is left out.
    """

    def __init__(self, reserved: Container[str] = ()) -> None:
        self._reserved = reserved
        self._owners: dict[str, Source] = {}
        self._next_steps = dict.fromkeys(Source, 0)

    @property
    def names(self) -> list[str]:
        """All metrics that have come, in their order."""
        return list(self._owners)

    def counts(self, source: Source, name: str) -> bool:
        """Whether a source is the one for a metric, as far as is known. It is asked with each value."""
        if name in self._reserved:
            return False
        owner = self._owners.get(name)
        if owner is None or source < owner:
            self._owners[name] = source
        return self._owners[name] == source

    def take(self, source: Source, record: Record) -> tuple[int, dict[str, float]] | None:
        """What of a record counts, and its step. Steps are counted where there are none."""
        step = self._next_steps[source] if record.step is None else int(record.step)
        if not 0 <= step < STEPS:
            return None
        self._next_steps[source] = max(self._next_steps[source], step + 1)
        values = {name: value for name, value in record.values.items() if self.counts(source, name)}
        return (step, values) if values else None


def never_reported(
    metric: str,
    names: list[str],
    has_patterns: bool = False,
    impossible: Mapping[str, int] | None = None,
    unread: str | None = None,
) -> str:
    """Why a script's metric is not there, in words for people.

    Args:
        metric: its name.
        names: what the script did report.
        has_patterns: whether regular expressions were looked for in its output.
        impossible: steps that no study takes, by the names of what was to be reported there.
        unread: a printed line that may have been meant as a report, and what is wrong with it.
    """
    text = f"the script never reported {metric!r}; "
    if impossible and metric in impossible:
        return (
            text
            + f"it wrote it at step {impossible[metric]}, but steps are whole numbers from 0 to {STEPS - 1}"
        )
    if not names and has_patterns:
        return text + "no line of its output matches an expression of metrics_from (output.log has the lines)"
    if not names:
        return (
            text
            + f"it reported nothing: {f'{unread}; ' if unread else ''}"
            + f'have it print lines such as {{"step": 1, "{metric}": 0.5}}'
        )
    near = nearest(metric, names)
    if near is None:
        return (
            text
            + f"it reported {', '.join(map(_shown, names[:_MOST_NAMES]))}"
            + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
        )
    return text + f"it reported {_shown(near)}: did you mean it?"


_MOST_NAMES = 20


def _shown(name: str) -> str:
    """A name as it is, in quotes if one could not see where it ends."""
    return name if name == name.strip() and name else repr(name)
