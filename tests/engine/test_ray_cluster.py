"""The connection to Ray."""

from __future__ import annotations

import pytest
import ray

from sweep.engine import ray_cluster
from sweep.engine.ray_cluster import RayCluster
from sweep.errors import SweepError


def test_a_second_thread_is_told_why_it_cannot_have_a_ray_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("nothing is started"))
    with ray_cluster._ours, pytest.raises(SweepError, match=r"another thread .* call ray.init\(\) first"):
        RayCluster(None).__enter__()
