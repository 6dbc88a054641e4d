"""The `Controller` as a Ray actor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sweep.messages import Progress, RunningAttempt

if TYPE_CHECKING:
    from pathlib import Path

    from sweep.sweepfile import SweepSpec
    from sweep.system.directory import SweepDirectory


RESTART_TIMEOUT = 60.0
"""How long supervisor and workers wait for a controller that is being restarted, in seconds."""


_SWITCH_INTERVAL = 0.0005
"""How long a thread of the controller keeps the others waiting, in seconds; 0.005 is Python's default."""


class NotRecovered(Exception):
    """The controller has been restarted, and does not know yet which attempts are running."""


class RayController:
    """An actor that owns the `Controller` of a sweep and forwards calls to it.

    A process that receives an actor's handle imports the actor's class. If that were `Controller` itself,
    every worker would import Optuna and pydantic, which takes a third of a second of CPU time each.

    Ray restarts the actor when its process is killed. Then `recover` must be called before `call`; calls from
    trials are answered at once.

    The arguments are small, and the objective, which may capture large objects, is not among them: Ray drops
    large arguments, and could not restart the actor without them.
    """

    def __init__(
        self,
        spec: SweepSpec,
        directory: SweepDirectory,
        run_id: str,
        working_directory: Path,
        slots: int,
        keeps_report_events: bool,
        environment: Mapping[str, str],
    ) -> None:
        from sweep.controller.controller import Controller
        from sweep.engine.controller_guard import ControllerGuard
        from sweep.engine.ray.private import is_restarted_actor, remove_driver_path
        from sweep.system.lock import join_run
        from sweep.system.processes import exit_with_parent

        exit_with_parent()
        # Whenever this thread has waited for the disk, it waits for a sampler that computes in another one.
        sys.setswitchinterval(_SWITCH_INTERVAL)
        remove_driver_path()
        os.environ.update(environment)  # a cluster's processes do not have it
        os.chdir(working_directory)  # the URL of a database may contain a relative path
        self._fence = join_run(directory.fence, directory.lock, run_id)

        def start() -> Controller:
            controller = Controller(spec, directory, slots, run_id, keeps_report_events, samples_ahead=True)
            self._saving = controller.saving_usage()
            self._saving.__enter__()  # until this process terminates
            return controller

        # If this fails, the first call fails with the same error: Ray would report only that the actor died.
        self._controller = ControllerGuard(start)
        self._is_recovered = not is_restarted_actor()

    # The arguments of these two are one tuple, because Ray serializes each argument separately.

    def call(self, call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Any:
        """Call a method of the controller for the supervisor.

        Args:
            call: the name of the method, and its arguments.

        Raises:
            NotRecovered: `recover` has to be called first.
            ControllerFailed: the controller has failed, in this call or in an earlier one.
        """
        if not self._is_recovered:
            raise NotRecovered
        method, arguments, options = call
        return self._controller.call_by_name(method, *arguments, **options)

    def call_for_trial(self, call: tuple[str, tuple[Any, ...]]) -> Any:
        """Call a method of the controller for a trial: `report`, `suggest`, `should_prune` or `must_end`."""
        method, arguments = call
        return self._controller.call_by_name(method, *arguments)

    def recover(self, running: Iterable[RunningAttempt]) -> None:
        """Tell a restarted controller which attempts are running."""
        self._controller.call_by_name("adopt", running)
        self._is_recovered = True

    def close(self) -> Progress:
        progress: Progress = self._controller.call_by_name("close")
        return progress
