"""The Ray engine: runs trials in parallel in warm workers, on one machine or several."""

from __future__ import annotations

import signal
from dataclasses import replace

from sweep.engine.base import Engine, PreparedSweep
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.engine.ray.capacity import count_slots
from sweep.engine.ray.cluster import RayCluster, RayLost
from sweep.engine.ray.supervisor import Supervisor
from sweep.errors import StartInterrupted, SweepStopped
from sweep.messages import Progress
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import renew_run_id

_MAX_DEATHS = 5
"""How often Ray can die without a trial finishing in between. More often, the trials may be the cause."""


class RayEngine(Engine):
    """Runs trials on Ray.

    Args:
        address: the address of a running cluster; None starts Ray on this machine.
    """

    def __init__(self, address: str | None = None) -> None:
        self._cluster = RayCluster(address)

    def __enter__(self) -> RayEngine:
        self._cluster.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.__exit__(*error)

    def slots(self, spec: SweepSpec) -> int:
        limit = self._cluster.cpu_limit()
        if spec.resources.gpu > 0:
            limit += self._cluster.gpu_limit()
        return count_slots(self._cluster.machines(), spec.resources, spec.max_parallel, limit)

    def kill_leftover_processes(self, directory: SweepDirectory) -> None:
        self._cluster.kill_leftover_processes(directory)

    def run(
        self, sweep: PreparedSweep, observer: Observer, interruption: Interruption, grace: float
    ) -> Progress:
        deaths, finished = 0, -1
        while True:
            supervisor = Supervisor(sweep, self.slots(sweep.spec), observer, self._cluster)
            try:
                return supervisor.run(interruption, grace)
            except KeyboardInterrupt:
                if interruption.signal is None:
                    raise
                return _progress(supervisor, interruption.signal)
            except RayLost:
                progress = supervisor.progress
                deaths += 1
                if progress is not None and progress.finished > finished:
                    deaths, finished = 1, progress.finished
                if deaths >= _MAX_DEATHS:
                    raise SweepStopped(f"Ray died {deaths} times while no trial finished") from None
                observer.on_note("Ray died and is being restarted; the running trials will resume")
            finally:
                supervisor.shut_down()
            try:
                self._cluster.restart()
            except SystemExit:  # raised by Ray's own SIGTERM handler while Ray is starting
                interruption.request(signal.SIGTERM)
                return _progress(supervisor, signal.SIGTERM)
            finally:
                interruption.reinstall_handlers()
            sweep = replace(sweep, run_id=renew_run_id(sweep.directory.lock))
            self.clean_up_previous_run(sweep.directory, observer)


def _progress(supervisor: Supervisor, number: int) -> Progress:
    """The state of a sweep that was interrupted by a signal.

    Raises:
        StartInterrupted: the controller had not started yet.
    """
    if supervisor.progress is None:
        raise StartInterrupted(number)
    return supervisor.progress
