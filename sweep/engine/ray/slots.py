"""How many trials fit on the machines at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.errors import EntryError
from sweep.sweepfile.model import Resources

_UNITS = 10_000
"""Ray counts resources in ten-thousandths; so do we, or 0.1 + 0.2 would be more than 0.3."""


def count_slots(
    machines: Sequence[Mapping[str, float]], resources: Resources, max_parallel: int | None
) -> int:
    """How many trials can run at once.

    Args:
        machines: each one's resources as Ray names them (`CPU`, `GPU`).
        resources: what one trial occupies.
        max_parallel: the upper limit, if there is one.

    Raises:
        EntryError: no machine has room for a trial, or trials occupy nothing and there is no limit.
    """
    if resources.cpu == 0 and resources.gpu == 0:
        if max_parallel is None:
            raise EntryError(
                "resources", "a trial occupies nothing; say how many may run at once with max_parallel"
            )
        return max_parallel
    slots = sum(_fit(machine, resources) for machine in machines)
    if slots == 0:
        raise EntryError(
            "resources",
            f"no machine has cpu: {resources.cpu:g}, gpu: {resources.gpu:g} for a trial; "
            f"the largest has {_describe(machines)}",
        )
    return slots if max_parallel is None else min(slots, max_parallel)


def _fit(machine: Mapping[str, float], resources: Resources) -> int:
    limits = []
    if resources.cpu > 0:
        limits.append(_whole(machine.get("CPU", 0.0)) // _whole(resources.cpu))
    if resources.gpu > 0:
        limits.append(_fit_gpus(int(machine.get("GPU", 0.0)), float(resources.gpu)))
    return min(limits)


def _fit_gpus(gpus: int, share: float) -> int:
    if share >= 1:
        return gpus // int(share)
    return gpus * (_UNITS // _whole(share))  # a share never spreads over two GPUs


def _whole(amount: float) -> int:
    return max(1, round(amount * _UNITS)) if amount > 0 else 0


def _describe(machines: Sequence[Mapping[str, float]]) -> str:
    largest = max(machines, key=lambda machine: (machine.get("GPU", 0.0), machine.get("CPU", 0.0)))
    return f"cpu: {largest.get('CPU', 0.0):g}, gpu: {largest.get('GPU', 0.0):g}"
