"""Room on GPUs for a worker with a larger share than others: other slots close, and open again later.

Ray would wait until a GPU has room by itself. That never happens as long as all slots keep their workers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from sweep.engine.ray.resources import UNITS, units

if TYPE_CHECKING:
    from sweep.engine.ray.worker_pool import Slot


def must_close(slot: Slot, slots: Iterable[Slot], machines: Collection[str]) -> bool:
    """Whether a slot without an attempt must close, because a worker with a larger share waits for its GPU.

    Args:
        slot: the slot.
        slots: all slots.
        machines: the Ray node IDs of the machines of the cluster.
    """
    if slot.place is None:
        return False
    others = [other for other in slots if other is not slot]
    for waiting in others:
        if waiting.place is None or not waiting.waits_for_room:
            continue
        if waiting.place[0] not in machines:  # it waits for any GPU now, so this one can be it
            waiting.place = slot.place
        if waiting.place == slot.place:
            used = sum(units(other.held_gpu) for other in others if _is_on(other, slot.place))
            return used + units(waiting.held_gpu) + units(slot.held_gpu) > UNITS
    return False


def _is_on(slot: Slot, place: tuple[str, str]) -> bool:
    """Whether the worker of a slot runs on a GPU."""
    return slot.place == place and slot.worker is not None and slot.node_id is not None


def places_lost(slots: Iterable[Slot], ordinary: float) -> int:
    """How many slots cannot open because others hold a larger share of a GPU than is `ordinary`."""
    share = units(ordinary)
    if not 0 < share < UNITS:
        return 0
    shares = [units(slot.held_gpu) for slot in slots]
    return sum(UNITS // share - (UNITS - large) // share - 1 for large in shares if share < large <= UNITS)
