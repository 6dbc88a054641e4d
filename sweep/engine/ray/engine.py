"""The Ray engine: runs trials in parallel in warm workers, on one machine or several."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.engine.base import Engine, PreparedSweep
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.engine.ray.cluster import RayCluster, RayLost
from sweep.engine.ray.resources import WorkerResources, check_labels, count_fitting, count_slots
from sweep.engine.ray.supervisor import Supervisor
from sweep.engine.ray.user_code import check_runtime_env
from sweep.errors import EntryError, StartInterrupted, SweepStopped
from sweep.messages import Progress
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import renew_run_id

if TYPE_CHECKING:
    from sweep.engine.ray.slurm_nodes import SlurmNodes
    from sweep.engine.slurm.options import SlurmOptions

_MAX_DEATHS = 5
"""How often Ray can die without a trial finishing in between. More often, the trials may be the cause."""
_NO_TOKEN = (
    "this Ray cluster requires no token: everybody who reaches its ports can run code on it; set "
    "RAY_AUTH_MODE=token where Ray is started (docs/security.md)"
)


class RayEngine(Engine):
    """Runs trials on Ray.

    Args:
        address: the address of a running cluster; None starts Ray on this machine.
        slurm: which Slurm jobs give the sweep its machines; None without Slurm.
    """

    def __init__(self, address: str | None = None, slurm: SlurmOptions | None = None) -> None:
        self._cluster = RayCluster(address, is_login_node=slurm is not None)
        self._slurm = slurm

    def __enter__(self) -> RayEngine:
        self._cluster.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.__exit__(*error)

    def slots(self, spec: SweepSpec) -> int:
        check_runtime_env(spec.runtime_env)
        limit = self._cluster.cpu_limit()
        if spec.resources.gpus > 0:
            limit += self._cluster.gpu_limit()
        resources = WorkerResources.of(spec.resources)
        if self._slurm is not None:
            if resources.custom or resources.labels:
                raise EntryError(
                    "resources",
                    "the machines of Slurm jobs have no custom resources and no labels; choose machines with "
                    "--slurm-args, for example --constraint=a100",
                )
            job = {**resources.by_name, "GPU": math.ceil(resources.gpu)}  # it has room for one worker
            return count_slots([job] * resources.workers, resources, spec.max_parallel)
        limit += self._cluster.custom_limit(resources.custom)
        machines = self._cluster.machines(resources.labels)
        if self._cluster.grows() and not count_fitting(machines, resources, spec.max_parallel):
            return 1  # a worker waits for the first machine
        if resources.labels:
            check_labels(self._cluster.labels(), resources.labels)
        return count_slots(machines, resources, spec.max_parallel, limit)

    def clean_up_previous_run(self, directory: SweepDirectory, observer: Observer) -> None:
        if self._slurm is not None:
            from sweep.engine.slurm.jobs import cancel_earlier_jobs

            cancel_earlier_jobs(directory)
        super().clean_up_previous_run(directory, observer)

    def kill_leftover_processes(self, directory: SweepDirectory) -> None:
        self._cluster.kill_leftover_processes(directory)

    def run(
        self, sweep: PreparedSweep, observer: Observer, interruption: Interruption, grace: float
    ) -> Progress:
        if not self._cluster.has_token:
            observer.on_note(_NO_TOKEN)
        deaths, finished = 0, -1
        while True:
            supervisor = Supervisor(sweep, self.slots(sweep.spec), observer, self._cluster)
            nodes = self._slurm_nodes(sweep, observer, grace)
            try:
                if nodes is not None:
                    nodes.open()
                return supervisor.run(interruption, grace, nodes)
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
                try:
                    supervisor.shut_down()
                finally:  # also after another Ctrl-C
                    if nodes is not None:
                        nodes.close()
            try:
                self._cluster.restart()
            except SystemExit:  # raised by Ray's own SIGTERM handler while Ray is starting
                interruption.request(signal.SIGTERM)
                return _progress(supervisor, signal.SIGTERM)
            finally:
                interruption.reinstall_handlers()
            sweep = replace(sweep, run_id=renew_run_id(sweep.directory.lock))
            self.clean_up_previous_run(sweep.directory, observer)

    def _slurm_nodes(self, sweep: PreparedSweep, observer: Observer, grace: float) -> SlurmNodes | None:
        if self._slurm is None:
            return None
        from sweep.engine.ray.slurm_nodes import SlurmNodes

        return SlurmNodes(sweep, self._slurm, observer, grace)


def _progress(supervisor: Supervisor, number: int) -> Progress:
    """The state of a sweep that was interrupted by a signal.

    Raises:
        StartInterrupted: the controller had not started yet.
    """
    if supervisor.progress is None:
        raise StartInterrupted(number)
    return supervisor.progress
