"""How many trials fit on the machines of a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.engine.ray.capacity import count_slots
from sweep.errors import InputError
from sweep.sweepfile.model import Resources

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
        ([{"CPU": 1.0}], {"cpu": 0.1}, None, 10),
        ([{}], {"cpu": 0}, 5, 5),
    ],
)
def test_slots_follow_the_resources(
    machines: list[dict[str, float]], resources: dict[str, Any], limit: int | None, slots: int
) -> None:
    assert count_slots(machines, Resources(**resources), limit) == slots


def test_a_trial_that_fits_on_no_machine_is_an_error() -> None:
    with pytest.raises(
        InputError, match="no machine has cpu: 1, gpu: 8 for a trial; the largest has cpu: 8, gpu: 4"
    ):
        count_slots(TWO_MACHINES, Resources(gpu=8), None)
    with pytest.raises(InputError, match="set max_parallel to limit how many run at once"):
        count_slots(TWO_MACHINES, Resources(cpu=0), None)
