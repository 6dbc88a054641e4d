"""What a script says by means of `sweep.report`."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from sweep.script.json_lines import numbers
from sweep.script.wandb_offline import Record


class Reports:
    """The file into which `sweep.report` writes, read while it grows. What an earlier attempt wrote is gone.

    Args:
        path: where it lies.
        metric: the name of what the sweep optimises: it is what a bare number means.
    """

    def __init__(self, path: Path, metric: str) -> None:
        self.path = path
        self._metric = metric
        self._at = 0
        path.unlink(missing_ok=True)

    def read(self) -> list[Record]:
        """What has been said since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return [record for line in whole.splitlines() if (record := self._record(line)) is not None]

    def _record(self, line: bytes) -> Record | None:
        with suppress(ValueError, AttributeError, TypeError, RecursionError):
            data = json.loads(line)
            values = data.get("values", {self._metric: data.get("value")})
            found = dict(numbers(values))
            return Record(data.get("step"), found) if found else None
        return None
