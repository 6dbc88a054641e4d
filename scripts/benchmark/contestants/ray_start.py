"""Starting Ray, for all contestants that use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmark.work import Work


@contextmanager
def start_ray(work: Work) -> Iterator[None]:
    """Ray is running, with as many CPUs as the slots need, or the one in RAY_ADDRESS has been joined."""
    import ray

    address = os.environ.get("RAY_ADDRESS")
    new = {"num_cpus": work.cores, "include_dashboard": False}
    ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **({} if address else new))
    try:
        yield
    finally:
        ray.shutdown()
