"""What a worker holds, and how many workers the machines of a cluster have room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sweep.errors import EntryError
from sweep.sweepfile.cluster_entries import matches
from sweep.sweepfile.resources import Resources

UNITS = 10_000
"""Ray counts resources in units of 1/10,000. With floats 0.1 + 0.2 would be more than 0.3."""

NODE_ID_LABEL = "ray.io/node-id"
"""A label that Ray gives each machine, different ones."""


@dataclass(frozen=True)
class WorkerResources:
    """What one worker holds.

    Args:
        cpu: its cores.
        gpu: its GPUs, or its share of one.
        custom: amounts of other resources, by the names that the cluster gives them.
        labels: selectors of the machine's labels.
        workers: how many such workers run each trial together.
    """

    cpu: float
    gpu: float
    custom: Mapping[str, float] = field(default_factory=dict, hash=False)
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    workers: int = 1

    @classmethod
    def of(cls, resources: Resources) -> WorkerResources:
        """What a worker holds that runs trials with these resources."""
        return cls(
            float(resources.cpu), resources.gpus, resources.custom, resources.labels, resources.workers
        )

    @property
    def by_name(self) -> dict[str, float]:
        """The amounts by Ray's names."""
        return {"CPU": self.cpu, "GPU": self.gpu, **self.custom}

    def __str__(self) -> str:
        labels = [f"{key}: {text}" for key, text in self.labels.items()]
        workers = [f"workers: {self.workers}"] if self.workers > 1 else []
        return ", ".join([describe(self.by_name), *labels, *workers])


def describe(amounts: Mapping[str, float]) -> str:
    """Amounts of resources for a message, as in a sweep file."""
    own = {"CPU": "cpu", "GPU": "gpu"}
    return ", ".join(f"{own.get(name, name)}: {amount:g}" for name, amount in amounts.items())


def count_slots(
    machines: Sequence[Mapping[str, float]],
    resources: WorkerResources,
    max_parallel: int | None,
    limit: str = "",
) -> int:
    """Count how many trials can run at the same time; at least one.

    Args:
        machines: the resources of each machine by Ray's names (`CPU`, `GPU`).
        resources: what one trial requires.
        max_parallel: the upper limit; None for no limit.
        limit: why a machine has fewer resources than the user may expect, for the message.

    Raises:
        EntryError: no machine has the resources for a trial, or trials require none and there is no limit.
    """
    if not any(resources.by_name.values()) and max_parallel is None:
        raise EntryError(
            "resources", "a trial requires no resources; set max_parallel to limit how many run at once"
        )
    slots = count_fitting(machines, resources, max_parallel)
    if slots == 0:
        needed = resources.by_name
        amounts = [{name: machine.get(name, 0.0) for name in needed} for machine in machines]
        largest = max(amounts, key=lambda has: list(has.values())[::-1], default=dict.fromkeys(needed, 0.0))
        if room := count_workers(machines, resources):
            raise EntryError(
                "resources",
                f"a trial has workers: {resources.workers}, each with {describe(needed)}, and there is room "
                f"for {room}; write workers: {room}, or less for each worker{limit}",
            )
        raise EntryError(
            "resources",
            f"no machine has {describe(needed)} for a trial; the largest has {describe(largest)}{limit}",
        )
    return slots


def check_labels(machines: Sequence[Mapping[str, str]], selectors: Mapping[str, str]) -> None:
    """Check that a machine has the labels that trials require.

    Args:
        machines: the labels of each machine.
        selectors: the selectors, by key.

    Raises:
        EntryError: no machine has them.
    """
    if any(matches(labels, selectors) for labels in machines):
        return
    needed = ", ".join(f"{key}: {selector}" for key, selector in selectors.items())
    own = [
        ", ".join(f"{key}: {value}" for key, value in sorted(labels.items()) if key != NODE_ID_LABEL)
        for labels in machines
    ]
    found = "; ".join(sorted(set(filter(None, own)))) or (
        "no labels; start it with: ray start --labels=region=us, and join it with --address"
    )
    raise EntryError(
        "resources.labels", f"no machine of the Ray cluster has {needed}; the machines have: {found}"
    )


def count_fitting(
    machines: Sequence[Mapping[str, float]], resources: WorkerResources, max_parallel: int | None
) -> int:
    """Count for how many trials the machines have room at the same time, other jobs aside; it can be 0."""
    if not any(resources.by_name.values()):
        return max_parallel or 0 if machines else 0
    slots = count_workers(machines, resources) // resources.workers
    return slots if max_parallel is None else min(slots, max_parallel)


def count_workers(machines: Sequence[Mapping[str, float]], resources: WorkerResources) -> int:
    """Count for how many workers the machines have room, other jobs aside."""
    return sum(_count_on(machine, resources) for machine in machines)


def _count_on(machine: Mapping[str, float], resources: WorkerResources) -> int:
    limits = []
    if resources.cpu > 0:
        limits.append(units(machine.get("CPU", 0.0)) // units(resources.cpu))
    if resources.gpu >= 1:
        limits.append(int(machine.get("GPU", 0.0)) // int(resources.gpu))
    elif resources.gpu > 0:  # a fraction is never split between two GPUs
        limits.append(int(machine.get("GPU", 0.0)) * (UNITS // units(resources.gpu)))
    limits += [units(machine.get(name, 0.0)) // units(amount) for name, amount in resources.custom.items()]
    return min(limits)


def gpu_for_ray(share: float, machines: Sequence[Mapping[str, float]]) -> float:
    """How many GPUs Ray is asked for, so that workers which require `share` spread over all machines.

    Ray chooses the machine of an actor by the sum of what is free on its GPUs. With 0.3, three actors fit on
    each GPU, but thirteen in the sum of four: the thirteenth would wait there, and Ray does not send it to
    another machine that has room. With 0.3333 the sum says twelve, too.

    Args:
        share: the GPUs of a worker, or its share of one.
        machines: the resources of each machine by Ray's names.
    """
    counts = [int(machine["GPU"]) for machine in machines if machine.get("GPU", 0.0) >= 1]
    if not 0 < share < 1 or len(counts) < 2:
        return share
    on_one = UNITS // units(share)
    is_misled = any(count * UNITS // units(share) > count * on_one for count in counts)
    return UNITS // on_one / UNITS if is_misled else share


def units(amount: float) -> int:
    """An amount of a resource in Ray's units; at least one if it is not 0."""
    return max(1, round(amount * UNITS)) if amount > 0 else 0
