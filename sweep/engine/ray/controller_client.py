"""The supervisor's connection to the controller: calls are answered even if the controller is restarted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import ActorUnavailableError

from sweep.controller.controller import Controller
from sweep.engine.base import PreparedSweep
from sweep.engine.ray.cluster import RayCluster
from sweep.engine.ray.controller_actor import RESTART_TIMEOUT, NotRecovered, RayController
from sweep.engine.ray.pending import PendingCalls
from sweep.errors import SweepStopped
from sweep.messages import NextStep, Progress, RunningAttempt
from sweep.system.urls import client_environment

_RETRY_INTERVAL = 0.1  # seconds
_MAX_DEATHS = 5
"""After so many deaths while no attempt starts or ends, it is not restarted again."""
_STABLE = 600.0
"""If it has lived so long, in seconds, earlier deaths do not count."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ControllerClient:
    """Starts the controller as an actor on this machine, and calls it.

    If the controller dies, Ray restarts it. The client then tells it which attempts are running, and repeats
    the calls that were not answered. This is safe because the controller's methods are idempotent.

    Args:
        sweep: the sweep.
        slots: how many attempts can run at the same time.
        keeps_report_events: whether the controller returns the values that trials report.
        cluster: the connection to Ray.
        calls: the pending calls, to which its calls are added.
        running: returns the attempts that are running, for a restarted controller.
        on_restarted: called when a restarted controller has recovered, before other calls are made.

    Attributes:
        actor: the handle of the controller, for workers.
    """

    def __init__(
        self,
        sweep: PreparedSweep,
        slots: int,
        keeps_report_events: bool,
        cluster: RayCluster,
        calls: PendingCalls,
        running: Callable[[], Sequence[RunningAttempt]],
        on_restarted: Callable[[], None],
    ) -> None:
        self._sampler = sweep.spec.sampler.type
        self._cluster = cluster
        self._calls = calls
        self._running = running
        self._on_restarted = on_restarted
        self._unanswered = 0
        """The number of calls that have not returned."""
        self._postponed: list[Callable[[], None]] = []
        """Calls to be made when the controller has recovered."""
        self._lost_since: float | None = None
        """When the controller was found dead, on the monotonic clock; None while it is alive."""
        self._deaths = 0
        """How often it has died since an attempt has started or ended."""
        self._alive_since = time.monotonic()
        # Task events: Ray would keep 3 KB in memory about each call, and spend a tenth of its time on that.
        self.actor = cluster.on_node(
            RayController, cluster.current_node(), max_restarts=-1, enable_task_events=False
        ).remote(
            sweep.spec,
            sweep.directory,
            sweep.run_id,
            sweep.working_directory,
            slots,
            keeps_report_events,
            client_environment(sweep.spec.storage),
        )

    def call(
        self,
        method: Callable[Concatenate[Controller, _P], _T],
        then: Callable[[_T], object],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None:
        """Call a method of the controller.

        Args:
            method: the method.
            then: receives what the method returns.
            args: arguments of the method.
            kwargs: keyword arguments of the method.

        Raises (when the result is handled):
            RayError: the method has failed, or the controller cannot be restarted.
            SweepStopped: the controller dies again and again.
        """
        repeat = partial(self.call, method, then, *args, **kwargs)
        if self._lost_since is not None:
            self._postponed.append(repeat)
            return
        self._unanswered += 1
        call = self.actor.call.remote((method.__name__, args, kwargs))
        self._calls.add(call, partial(self._on_result, repeat, then))

    def close(self) -> Progress | None:
        """Close the controller.

        Returns:
            The final state of the sweep; None if the controller cannot be restarted in order to report it.

        Raises:
            RayLost: Ray has died.
        """
        end = time.monotonic() + RESTART_TIMEOUT
        while time.monotonic() < end:
            try:
                progress: Progress = ray.get(self.actor.close.remote())
                return progress
            except ActorUnavailableError:
                self._cluster.check_alive()
                time.sleep(_RETRY_INTERVAL)
        return None

    def kill(self) -> None:
        """Kill the controller. The effects of all answered calls are in the journal."""
        ray.kill(self.actor)

    def _on_result(self, repeat: Callable[[], None], then: Callable[[Any], object], call: Any) -> None:
        self._unanswered -= 1
        try:
            result = ray.get(call)
        except (ActorUnavailableError, NotRecovered):
            self._postponed.append(repeat)
            if self._lost_since is None:
                self._lost_since = time.monotonic()
                self._count_death()
        else:
            # Not any answer: a controller that dies when it samples gives some before that, in each life.
            if isinstance(result, NextStep) and (result.assignment or result.result):
                self._deaths = 0
            then(result)
        if self._lost_since is not None and not self._unanswered:
            # Not earlier: the result of an unanswered call may contain an assignment, which then runs.
            self._recover()

    def _count_death(self) -> None:
        self._deaths = self._deaths + 1 if time.monotonic() - self._alive_since < _STABLE else 1
        if self._deaths >= _MAX_DEATHS:
            raise SweepStopped(
                f"the controller died {self._deaths} times while no trial started or ended. It runs the "
                f"sampler ({self._sampler}), which may crash, or need more memory than this machine has "
                "free: free memory, or choose another `sampler`"
            )

    def _recover(self) -> None:
        self._calls.add(self.actor.recover.remote(self._running()), self._on_recovered)

    def _on_recovered(self, call: Any) -> None:
        assert self._lost_since is not None
        try:
            ray.get(call)
        except ActorUnavailableError:
            if time.monotonic() - self._lost_since > RESTART_TIMEOUT:
                raise
            time.sleep(_RETRY_INTERVAL)
            self._recover()
            return
        self._lost_since, self._alive_since = None, time.monotonic()
        self._on_restarted()
        postponed, self._postponed = self._postponed, []
        for call_again in postponed:
            call_again()
