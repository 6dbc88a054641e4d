"""Room on GPUs for workers with larger shares, without Ray."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from sweep.engine.ray.gpu_room import must_close, places_lost
from sweep.engine.ray.resources import WorkerResources
from sweep.engine.ray.worker_pool import Slot
from sweep.messages import Assignment


def slot(share: float, gpu: str = "0", node: str = "node", **keys: Any) -> Slot:
    """A slot whose worker has started."""
    found = Slot(WorkerResources(1.0, share), worker=Mock(), node_id=node, place=(node, gpu), held_gpu=share)
    for name, value in keys.items():
        setattr(found, name, value)
    return found


def growing(share: float, gpu: str = "0", node: str = "node") -> Slot:
    """A slot of that GPU whose next worker waits for room."""
    found = slot(share, gpu, node, assignment=Mock(spec=Assignment))
    found.node_id = None
    return found


def test_as_many_slots_close_as_a_larger_share_needs() -> None:
    slots = [growing(0.5), *(slot(0.25) for _ in range(3))]
    assert must_close(slots[1], slots, {"node"})
    slots.remove(slots[1])
    assert not must_close(slots[1], slots, {"node"})


def test_what_ray_was_asked_for_counts() -> None:
    """On several machines Ray is asked for half a GPU for a share of 0.4: see `gpu_for_ray`."""
    slots = [growing(0.4), *(slot(0.2) for _ in range(4))]
    slots[0].held_gpu = 0.5
    for _ in range(2):
        assert must_close(slots[1], slots, {"node"})
        slots.remove(slots[1])
    assert not must_close(slots[1], slots, {"node"})


def test_a_whole_gpu_needs_all_its_slots() -> None:
    slots = [growing(1.0), *(slot(0.25) for _ in range(3))]
    while len(slots) > 1:
        assert must_close(slots[1], slots, {"node"})
        slots.remove(slots[1])


def test_slots_on_other_gpus_stay() -> None:
    others = [slot(0.5, gpu="1"), slot(0.5, node="other")]
    slots = [growing(1.0), *others]
    assert not any(must_close(other, slots, {"node", "other"}) for other in others)


def test_if_its_machine_is_lost_a_worker_gets_room_on_another_gpu() -> None:
    slots = [growing(1.0, node="lost"), slot(0.5), slot(0.5)]
    assert must_close(slots[1], slots, {"node"})
    assert slots[0].place == ("node", "0")


def test_no_slot_closes_for_a_share_that_fits() -> None:
    slots = [growing(0.3333), *(slot(0.25) for _ in range(2))]
    assert not any(must_close(other, slots, {"node"}) for other in slots[1:])


def test_a_slot_whose_worker_has_died_closes_if_its_place_is_needed() -> None:
    slots = [growing(0.5), slot(0.25), slot(0.25), slot(0.25, worker=None)]
    assert must_close(slots[3], slots, {"node"})


def test_larger_shares_take_the_places_of_ordinary_ones() -> None:
    assert places_lost([slot(0.25), slot(0.25)], 0.25) == 0
    assert places_lost([slot(0.5)], 0.25) == 1
    assert places_lost([slot(1.0), slot(0.5)], 0.25) == 4
    assert places_lost([slot(0.2)], 0.25) == 0
    assert places_lost([slot(0.6)], 0.3) == 1
    assert places_lost([slot(2.0)], 1.0) == 0
