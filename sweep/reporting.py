"""`sweep.report`, for scripts: says how a trial stands, from any of its processes. Cheap to import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

REPORTS = "SWEEP_REPORTS"
"""Environment variable of a script and of all that it starts: the file into which `report` writes."""
STEPS = 2**31
"""TensorBoard's HParams tab answers HTTP 500 from this step on."""
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
        data["step"] = _as_step(step)
    if values is not None:
        data["values"] = {str(name): _as_float(number, repr(name)) for name, number in values.items()}
    else:
        data["value"] = _as_float(value, "value")
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


def _as_float(value: Any, what: str) -> float:
    if isinstance(value, (str, bytes)):
        raise ValueError(f"{what} is {value!r}; it has to be a number")
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{what} is {str(value)[:80]!r}; it has to be a number") from None


def _as_step(step: Any) -> int:
    number = _as_float(step, "step")
    if not 0 <= number < STEPS or number != int(number):
        raise ValueError(f"step is {step!r}; it has to be a whole number from 0 to {STEPS - 1}")
    return int(number)
