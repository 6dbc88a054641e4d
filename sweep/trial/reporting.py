"""`sweep.report`, for scripts: says how a trial stands, from any of its processes. Cheap to import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from sweep.trial.scalars import as_number, as_step

REPORTS = "SWEEP_REPORTS"
"""Environment variable of a script and of all that it starts: the file into which `report` writes."""
_TRIAL_DIRECTORY = "SWEEP_TRIAL_DIR"


def report(value: float | Mapping[str, float], step: int | None = None) -> None:
    """Say, from inside a script that a sweep runs, how its metric stands. Elsewhere it does nothing.

    It may be called from any process that the script has started. Numbers may be numpy's, or tensors of one
    element.

    Args:
        value: of the sweep's metric; or several metrics by name.
        step: an epoch or a count of batches, whole, from 0; calls are counted without it.

    Raises:
        ValueError: a value is no number, or the step is not possible.
        RuntimeError: a sweep runs this as a function, which reports by means of its trial.
    """
    values = value if isinstance(value, Mapping) else None
    data: dict[str, Any] = {}
    if step is not None:
        data["step"] = as_step(step)
    if values is not None:
        data["values"] = {str(name): as_number(number, repr(name)) for name, number in values.items()}
    else:
        data["value"] = as_number(value, "value")
    file = os.environ.get(REPORTS)
    if file is None:
        if _TRIAL_DIRECTORY in os.environ:
            raise RuntimeError(
                "sweep.report is for scripts (program: or command:); an objective has trial.report"
            )
        return
    line = json.dumps(data).encode() + b"\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)  # one call: lines of several processes do not mix
    finally:
        os.close(descriptor)
