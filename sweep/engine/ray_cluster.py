"""Starting Ray on this machine, or joining one that runs, without a word on the terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import ray

from sweep.engine.ray_quiet import quiet_ray
from sweep.errors import SweepError


class RayCluster:
    """A connection to Ray for as long as it is entered.

    If this process is connected already, that connection is used and left open.

    Args:
        address: of a running cluster (`auto`, `HOST:6379`); None starts Ray on this machine.

    Raises:
        SweepError: on entering, if there is no cluster at that address.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._exits = ExitStack()

    def __enter__(self) -> RayCluster:
        self._exits.enter_context(quiet_ray())
        if not ray.is_initialized():
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            # Without it Ray announces that it will one day show all GPUs to trials that asked for none.
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
            try:
                ray.init(
                    address=self._address or "local",
                    log_to_driver=False,
                    logging_level="ERROR",
                    include_dashboard=None if self._address else False,
                )
            except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                self._exits.close()
                text = " ".join(str(error).split())[:300]
                where = f"the Ray cluster at {self._address}" if self._address else "Ray on this machine"
                raise SweepError(f"{where} cannot be reached: {text}") from None
            self._exits.callback(ray.shutdown)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def machines(self) -> Sequence[Mapping[str, float]]:
        """The resources of each machine that is alive."""
        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def here(self) -> Any:
        """A scheduling strategy that keeps an actor on this machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
