"""`sweep.report`, with which a script reports its metrics from any of its processes. Cheap to import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from sweep.trial.scalars import as_number, as_step

REPORTS = "SWEEP_REPORTS"
"""Environment variable of a script and its child processes: the file to which `report` appends."""
_TRIAL_DIRECTORY = "SWEEP_TRIAL_DIR"


def report(value: float | Mapping[str, float], step: int | None = None) -> None:
    """Report the metric from a script that a sweep runs. Outside a sweep it does nothing.

    Any process that the script has started can call it. If several ranks of a distributed training do (RANK,
    as torchrun sets it), the calls of rank 0 count. Numbers can be numpy's, or tensors with one element.

    Args:
        value: the sweep's metric, or several metrics by name.
        step: a non-negative whole number, such as the epoch. By default the values of each metric are
            counted.

    Raises:
        ValueError: a value is not a number, or the step is invalid.
        RuntimeError: the sweep's objective is a function, which calls `trial.report`.
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
    if rank := other_rank():
        data["rank"] = rank
    line = json.dumps(data).encode() + b"\n"
    with open(file, "ab", buffering=0) as reports:
        reports.write(line)  # one call, so that lines of several processes do not mix


def other_rank(variables: Mapping[str, str] = os.environ) -> int:
    """The rank of a process of a distributed training; 0 also if it is not part of one.

    Without WORLD_SIZE, RANK can be anything, such as the rank of LoRA's matrices.
    """
    try:
        rank, size = int(variables["RANK"]), int(variables["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0
    return rank if 0 < rank < size else 0
