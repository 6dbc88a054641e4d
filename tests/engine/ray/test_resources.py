"""How many trials fit on the machines of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.engine.ray.resources import WorkerResources, check_labels, count_slots, gpu_for_ray
from sweep.errors import InputError
from sweep.sweepfile.resources import Resources

TWO_MACHINES = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 3.0}]


@pytest.mark.parametrize(
    ("machines", "resources", "limit", "slots"),
    [
        (TWO_MACHINES, {}, None, 11),
        (TWO_MACHINES, {"cpu": 2}, None, 5),
        (TWO_MACHINES, {"cpu": 0.25}, None, 44),
        (TWO_MACHINES, {"gpu": 1}, None, 4),
        (TWO_MACHINES, {"gpu": 0.5}, None, 8),
        (TWO_MACHINES, {"gpu": 0.3, "cpu": 0}, None, 12),
        (TWO_MACHINES, {"gpu": 0.7}, None, 4),
        (TWO_MACHINES, {"gpu": 2}, None, 2),
        (TWO_MACHINES, {"gpu": 0.5, "cpu": 4}, None, 2),
        (TWO_MACHINES, {}, 3, 3),
        (TWO_MACHINES, {"workers": 4}, None, 2),  # eleven workers
        (TWO_MACHINES, {"workers": 11}, None, 1),
        (TWO_MACHINES, {"gpu": 2, "workers": 2}, None, 1),
        ([{"CPU": 1.0}], {"cpu": 0.1}, None, 10),
        ([{}], {"cpu": 0}, 5, 5),
        ([{"CPU": 8.0, "a100": 3.0}, {"CPU": 8.0}], {"custom": {"a100": 1}}, None, 3),
        ([{"CPU": 8.0, "a100": 3.0}, {"CPU": 8.0}], {"cpu": 0, "custom": {"a100": 0.1}}, None, 30),
        ([{"CPU": 8.0, "a100": 3.0, "disk": 1.0}], {"custom": {"a100": 1, "disk": 0.5}}, None, 2),
    ],
)
def test_slots_follow_the_resources(
    machines: list[dict[str, float]], resources: dict[str, Any], limit: int | None, slots: int
) -> None:
    assert count_slots(machines, WorkerResources.of(Resources(**resources)), limit) == slots


def test_a_trial_that_fits_on_no_machine_is_an_error() -> None:
    with pytest.raises(
        InputError, match="no machine has cpu: 1, gpu: 8 for a trial; the largest has cpu: 8, gpu: 4"
    ):
        count_slots(TWO_MACHINES, WorkerResources(1, 8), None)
    with pytest.raises(InputError, match="set max_parallel to limit how many run at once"):
        count_slots(TWO_MACHINES, WorkerResources(0, 0), None)


def test_the_error_names_the_custom_resources_of_the_machine_that_has_most() -> None:
    machines = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 3.0, "a100": 1.0}]
    with pytest.raises(InputError) as found:
        count_slots(machines, WorkerResources(1, 0, {"a100": 2}), None)
    assert str(found.value) == (
        "resources: no machine has cpu: 1, gpu: 0, a100: 2 for a trial; "
        "the largest has cpu: 3, gpu: 0, a100: 1"
    )


def test_labels_that_no_machine_has_are_an_error_that_says_what_they_have() -> None:
    machines = [{"region": "us", "ray.io/node-id": "1"}, {"region": "eu"}, {"region": "us"}]
    check_labels(machines, {"region": "eu"})
    with pytest.raises(InputError) as found:
        check_labels(machines, {"region": "asia", "disk": "!slow"})
    assert str(found.value) == (
        "resources.labels: no machine of the Ray cluster has region: asia, disk: !slow; "
        "the machines have: region: eu; region: us"
    )
    with pytest.raises(InputError, match="the machines have: no labels; start it with: ray start --labels"):
        check_labels([{"ray.io/node-id": "1"}], {"region": "us"})


@pytest.mark.parametrize(
    ("share", "gpus", "held"),
    [
        (0.3, [4, 4], 0.3333),
        (0.3, [0, 4], 0.3),  # there is no other machine
        (0.3, [2, 2], 0.3),  # the sum is right, and a GPU keeps 0.1 for another sweep
        (0.3, [2, 4], 0.3333),
        (0.7, [8, 8], 1),
        (0.25, [8, 8], 0.25),
        (1, [8, 8], 1),
        (0, [8, 8], 0),
    ],
)
def test_ray_counts_as_many_workers_on_a_machine_as_fit_on_its_gpus(
    share: float, gpus: list[int], held: float
) -> None:
    assert gpu_for_ray(share, [{"GPU": float(count)} for count in gpus]) == held
