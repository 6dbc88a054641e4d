"""The Ray engine: trials side by side in warm workers, on one machine or many."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

from sweep.engine.base import Engine, Interruption, Observer, Sweep
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.slots import count_slots
from sweep.engine.ray.supervisor import RayLost, Supervisor
from sweep.errors import StartInterrupted, SweepError
from sweep.messages import Progress
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import renew_run_id

_MOST_DEATHS = 5
"""So often may Ray die without a trial having ended meanwhile: then it is the trials that kill it."""


class RayEngine(Engine):
    """Runs trials on Ray.

    Args:
        address: of a running cluster; None starts Ray on this machine.
    """

    def __init__(self, address: str | None = None) -> None:
        self._cluster = RayCluster(address)

    def __enter__(self) -> RayEngine:
        self._cluster.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._cluster.__exit__(*error)

    def slots(self, spec: SweepSpec) -> int:
        return count_slots(self._cluster.machines(), spec.resources, spec.max_parallel)

    def end_survivors(self, directory: SweepDirectory) -> None:
        self._cluster.end_processes(directory)

    def run(self, sweep: Sweep, observer: Observer, interruption: Interruption, grace: float) -> Progress:
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
                if deaths >= _MOST_DEATHS:
                    raise SweepError(
                        f"Ray died {deaths} times, and no trial ended meanwhile; the same command goes on"
                    ) from None
                observer.note("Ray died; it is started again, and the trials that ran go on")
            finally:
                supervisor.end()
            try:
                self._cluster.restart()
            except SystemExit:  # this is what Ray's own handler does while Ray is being started
                interruption.request(signal.SIGTERM)
                return _progress(supervisor, signal.SIGTERM)
            finally:
                interruption.listen_again()
            sweep = replace(sweep, run_id=renew_run_id(sweep.directory.lock))
            self.clear(sweep.directory, observer)


def _progress(supervisor: Supervisor, number: int) -> Progress:
    """Where a sweep stood when a signal ended it.

    Raises:
        StartInterrupted: it had not begun.
    """
    if supervisor.progress is None:
        raise StartInterrupted(number)
    return supervisor.progress
