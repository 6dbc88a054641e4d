"""Starting Ray as this project does, for all contestants that use it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmark.work import Work


def ray_options(work: Work) -> dict[str, Any]:
    """The options of `ray.init`; with RAY_ADDRESS in the environment it joins that Ray."""
    common = {"log_to_driver": False, "logging_level": "ERROR"}
    if "RAY_ADDRESS" in os.environ:
        return {"address": os.environ["RAY_ADDRESS"], **common}
    return {"address": "local", "num_cpus": work.cores, "include_dashboard": False, **common}


@contextmanager
def start_ray(work: Work) -> Iterator[None]:
    """Ray is running, with as many CPUs as the slots need."""
    import ray

    ray.init(**ray_options(work))
    try:
        yield
    finally:
        ray.shutdown()
