"""`SamplingAhead`: samples the next configuration in a thread, before a trial needs it."""

from __future__ import annotations

import math
import threading
import time
from queue import Queue
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from sweep.study.private import id_of
from sweep.study.sampler_storage import SamplerStorage

_PATIENCE = 0.02
"""How long `ask` waits for a quick sampler, in seconds: another call would take longer."""
_LONGEST_INTERVAL = 0.25  # seconds
_QUICK = 0.005
"""A sampler that takes less time, in seconds, needs no thread: two threads that alternate take longer."""


class SamplingAhead(BaseSampler):
    """A study's sampler that has asked another sampler for the next configuration before a trial needs it.

    The other sampler runs in a thread, on a snapshot of the study. So a slow sampler does not hold up reports
    and verdicts, and a slot does not wait for its next configuration unless the sampler takes longer than a
    trial. The sampler sees which trials are running; the result of the trial that ends next, it does not see.
    What it samples does not depend on when it finishes: with one slot and a seed, a sweep is reproducible.

    A quick sampler is asked on the same snapshot, but only when a trial needs the configuration.

    The other methods wait until the thread has finished, so the sampler is never called by two threads.

    Args:
        sampler: the other sampler.
        learns_in_after_trial: whether its `after_trial` must not be called while it samples.
        is_steady: whether it takes about as long as for the last configuration. Otherwise it counts as slow.
    """

    def __init__(
        self, sampler: BaseSampler, learns_in_after_trial: bool = False, is_steady: bool = False
    ) -> None:
        self._sampler = sampler
        self._learns_in_after_trial = learns_in_after_trial
        self._is_steady = is_steady
        self._seconds = math.inf
        """How long it took for the last configuration."""
        self._next: _Request | None = None
        self._asked: _Request | None = None
        """The request whose trial is being started."""
        self._started: dict[int, optuna.Trial] = {}
        """The sampled trials, by the numbers of the study's trials whose parameters are not read yet."""
        self._requests: Queue[_Request] = Queue()
        threading.Thread(target=self._work, name="sampler", daemon=True).start()

    def prepare(self, study: optuna.Study) -> None:
        """Sample the configuration of the trial that `study.ask` would start now, unless it has been done."""
        waiting = next(iter(study.get_trials(deepcopy=False, states=(TrialState.WAITING,))), None)
        number = None if waiting is None else waiting.number
        if self._next is None or self._next.waiting != number:
            if self._next is not None and not self._next.is_in_thread:
                self._idle_sampler()
            self._next = _Request(SamplerStorage(study, waiting), number)
            if not self._is_steady or self._seconds >= _QUICK:
                self._next.is_in_thread = True
                self._requests.put(self._next)

    def ask(self, study: optuna.Study) -> optuna.Trial | None:
        """Start the next trial with the prepared configuration; None while it is being sampled.

        Raises:
            BaseException: what the sampler has raised.
        """
        self.prepare(study)
        assert self._next is not None
        if not self._next.is_in_thread:
            self._idle_sampler()
        elif not self._next.is_done.wait(_PATIENCE):
            return None
        self._asked, self._next = self._next, None
        try:
            if self._asked.error is not None:
                raise self._asked.error
            return study.ask()
        finally:
            self._asked = None

    def seconds_until_done(self) -> float:
        """In how many seconds to ask again: after a tenth of the time that the sampler has taken so far."""
        if self._next is None:
            return 0.0
        return min(_LONGEST_INTERVAL, max(_PATIENCE, (time.monotonic() - self._next.since) / 10))

    def _work(self) -> None:
        while True:
            self._sample(self._requests.get())
            self._requests.task_done()

    def _sample(self, request: _Request) -> None:
        began = time.monotonic()
        try:
            request.trial = request.storage.ask(self._sampler)
        except BaseException as error:  # noqa: BLE001 - raised again by `ask`
            request.error = error
        self._seconds = time.monotonic() - began
        request.is_done.set()

    def _idle_sampler(self) -> BaseSampler:
        """The sampler, once it has done what it was asked for: else its random numbers depended on time."""
        self._requests.join()
        if self._next is not None and not self._next.is_done.is_set():
            self._sample(self._next)
        return self._sampler

    # Called by Optuna for a trial of the study.

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if self._asked is None or self._asked.trial is None:
            self._idle_sampler().before_trial(study, trial)
        else:
            self._asked.storage.apply(id_of(trial))
            self._started[trial.number] = self._asked.trial

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if trial.number in self._started:
            return self._started[trial.number].relative_search_space or {}
        return self._idle_sampler().infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if trial.number in self._started:
            return self._started.pop(trial.number).relative_params
        return self._idle_sampler().sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._idle_sampler().sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._started.pop(trial.number, None)
        sampler = self._idle_sampler() if self._learns_in_after_trial else self._sampler
        sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._idle_sampler().reseed_rng()


class _Request:
    """A configuration that is sampled, or has been.

    Attributes:
        storage: the study, with the trial that is sampled.
        waiting: the number of the enqueued trial that is sampled; None for a new trial.
        since: when it was requested, on the monotonic clock.
        is_in_thread: whether it is sampled in the other thread.
        is_done: set when it has a sampled trial, or an error.
    """

    def __init__(self, storage: SamplerStorage, waiting: int | None) -> None:
        self.storage = storage
        self.waiting = waiting
        self.since = time.monotonic()
        self.is_in_thread = False
        self.trial: optuna.Trial | None = None
        self.error: BaseException | None = None
        self.is_done = threading.Event()
