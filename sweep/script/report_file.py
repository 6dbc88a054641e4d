"""The file to which `sweep.report` writes in a script."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from sweep.script.json_lines import numbers
from sweep.script.metric_sources import MetricRecord


class ReportFile:
    """Reads the reports of a script while it runs. The file of an earlier attempt is removed.

    Args:
        path: the file.
        metric: the name of the sweep's metric, to which reports of a single number refer.
    """

    def __init__(self, path: Path, metric: str) -> None:
        self.path = path
        self._metric = metric
        self._position = 0
        path.unlink(missing_ok=True)

    def read(self) -> list[MetricRecord]:
        """The reports since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._position += len(complete)
        return [record for line in complete.splitlines() if (record := self._record(line)) is not None]

    def _record(self, line: bytes) -> MetricRecord | None:
        with suppress(ValueError, AttributeError, TypeError, RecursionError):
            data = json.loads(line)
            values = dict(numbers(data.get("values", {self._metric: data.get("value")})))
            return MetricRecord(data.get("step"), values) if values else None
        return None
