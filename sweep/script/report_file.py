"""The file to which `sweep.report` writes in a script."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from sweep.script.json_lines import numbers
from sweep.script.metric_sources import MetricRecord

_PATIENCE = 5.0
"""Seconds for which reports of other ranks wait for rank 0, whose first report can take longer."""


class ReportFile:
    """Reads the reports of a script while it runs. The file of an earlier attempt is removed.

    In a distributed training the reports of rank 0 count. If it does not report, because only the last rank
    knows the loss for example, those of the lowest rank do that reports in the first seconds.

    Args:
        path: the file.
        metric: the name of the sweep's metric, to which reports of a single number refer.
    """

    def __init__(self, path: Path, metric: str) -> None:
        self.path = path
        self._metric = metric
        self._position = 0
        self._rank: int | None = None
        """The rank whose reports count; None until that is known."""
        self._held: list[tuple[int, MetricRecord]] = []
        self._held_since = 0.0
        path.unlink(missing_ok=True)

    def read(self, is_over: bool = False) -> list[MetricRecord]:
        """The reports since the last call.

        Args:
            is_over: whether the script has exited.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._position += len(complete)
        found = [record for line in complete.splitlines() if (record := self._record(line))]
        return self._select(found, is_over)

    def _select(self, found: list[tuple[int, MetricRecord]], is_over: bool) -> list[MetricRecord]:
        """The records of the rank that counts. They are held until it is known which one that is."""
        if self._rank != 0:
            if not self._held:
                self._held_since = time.monotonic()
            found = self._held + found if self._rank is None else found
            ranks = [rank for rank, _ in found]
            is_known = is_over or time.monotonic() >= self._held_since + _PATIENCE
            if 0 in ranks:
                self._rank = 0
            elif self._rank is None and is_known:
                self._rank = min(ranks, default=None)
        self._held = found if self._rank is None else []
        return [record for rank, record in found if rank == self._rank]

    def _record(self, line: bytes) -> tuple[int, MetricRecord] | None:
        with suppress(ValueError, AttributeError, TypeError, RecursionError):
            data = json.loads(line)
            values = dict(numbers(data.get("values", {self._metric: data.get("value")})))
            return (data.get("rank", 0), MetricRecord(data.get("step"), values)) if values else None
        return None
