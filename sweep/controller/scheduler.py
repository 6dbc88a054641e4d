"""`Scheduler`: decides what runs next."""

from __future__ import annotations

import time
from dataclasses import dataclass

import optuna

from sweep.controller.live_trials import LiveTrials
from sweep.controller.retries import allows_retry, counts, retry_delay
from sweep.controller.runs import LiveRun
from sweep.controller.statistics import TrialStats
from sweep.controller.usage import UsageMeter
from sweep.messages import CommonFailure, OutcomeKind, TrialStateName
from sweep.study import attributes
from sweep.study.sampling_ahead import SamplingAhead
from sweep.sweepfile import SweepSpec

_HOLD_INTERVAL = 1.0
"""Seconds after which a free slot asks again while the running trials show whether trials can succeed."""


@dataclass(eq=False)
class Scheduler:
    """Decides what runs next: the next attempt of a waiting run, a new trial, or nothing.

    Args:
        spec: the sweep.
        study: the study that is asked for new trials.
        live: the live trials, with the queue of waiting runs.
        stats: counts trials and checks the stop rules.
        meter: measures how long the sweep has run.

    Attributes:
        is_draining: whether the sweep is being stopped, so that nothing new starts.
    """

    spec: SweepSpec
    study: optuna.Study
    live: LiveTrials
    stats: TrialStats
    meter: UsageMeter
    is_draining: bool = False

    def next_run(self) -> LiveRun | None:
        """The run whose next attempt starts now; None if nothing can start."""
        if self._is_stopping() or self._is_on_hold:
            return None
        now = time.monotonic()
        for run in self.live.waiting:
            if run.ready_at <= now:
                self.live.waiting.remove(run)
                return run
        if self._has_all_trials:
            return None
        began = time.monotonic()
        trial = self.study.ask() if self._ahead is None else self._ahead.ask(self.study)
        waited = time.monotonic() - began
        if trial is None and self._ahead is not None:
            waited += self._ahead.seconds_until_done()  # the slot asks again then
        self.meter.add_sampling(waited)
        if trial is None:
            return None
        live = self.live.add(trial)
        if self.stats.enqueued:  # Optuna returns enqueued trials first
            self.stats.enqueued -= 1
        self.live.waiting.extend(live.runs[1:])
        return live.runs[0]

    def sample_next(self) -> None:
        """Have the configuration of the next trial sampled, if there will be one."""
        if self._ahead is not None and not self._is_stopping() and not self._has_all_trials:
            self._ahead.prepare(self.study)

    def seconds_until_next(self) -> float | None:
        """Seconds until an attempt can start, or until to ask again because a configuration is being sampled.

        Returns:
            None if none will start unless trials are enqueued.
        """
        if self._is_stopping():
            return None
        if self._is_on_hold:
            return _HOLD_INTERVAL
        moments = [run.ready_at - time.monotonic() for run in self.live.waiting]
        if not self._has_all_trials:
            moments.append(0.0 if self._ahead is None else self._ahead.seconds_until_done())
        return max(0.0, min(moments)) if moments else None

    def schedule_retry(
        self, run: LiveRun, state: TrialStateName | None, kind: OutcomeKind, is_free: bool = False
    ) -> float | None:
        """Decide whether another attempt of a run follows, and when it can start.

        Args:
            run: the run.
            state: the state that its last attempt gives to the trial; None after an interruption.
            kind: how its last attempt ended.
            is_free: whether that was not the trial's own failure: another attempt follows in any case.

        Returns:
            the delay in seconds; None if no attempt follows.
        """
        if state != "FAIL":
            return 0.0 if state is None else None
        if is_free and self.stopped_by(run) is None:
            run.ready_at = time.monotonic()
            return 0.0
        rules = self.spec.trial
        if counts(kind, run.losses):
            run.failures += 1
        if not allows_retry(rules, kind, run.failures, run.losses) or self.stopped_by(run) is not None:
            return None
        self.live.of(run).store(run, attributes.FAILURES, run.failures)
        delay = retry_delay(rules, run.failures)
        run.ready_at = time.monotonic() + delay
        return delay

    def stopped_by(self, ended: LiveRun | None = None) -> str | None:
        """The stop rule that is reached, or None.

        Args:
            ended: a run whose attempt has just ended.
        """
        if self.is_metric_missing and not any(run is not ended for run in self._running()):
            return "metric"
        rule = self.stats.stopped_by(self.meter.now().elapsed)
        if rule is None and self.common_failure is not None and not self._running():
            return "same_failure"
        return rule

    @property
    def common_failure(self) -> CommonFailure | None:
        """The failure of the first trials, as long as no trial has shown that trials can succeed."""
        if self.spec.stop.failures is not None or self.stats.has_results:
            return None
        # The first trials that end are the fastest, not all trials: a running one can have come further.
        if not self.stats.first.have_reported and any(run.last_report for run in self._running()):
            return None
        return self.stats.first.common_failure

    @property
    def _ahead(self) -> SamplingAhead | None:
        return self.study.sampler if isinstance(self.study.sampler, SamplingAhead) else None

    @property
    def _has_all_trials(self) -> bool:
        return self.stats.has_all_trials(len(self.live.trials))

    def _running(self) -> list[LiveRun]:
        return [run for live in self.live.trials.values() for run in live.runs if run.state == "running"]

    def _is_stopping(self) -> bool:
        return self.is_draining or self.stopped_by() is not None

    @property
    def _is_on_hold(self) -> bool:
        """Whether the running trials have to show that trials can succeed before another one starts."""
        return self.is_metric_missing or self.common_failure is not None

    @property
    def is_metric_missing(self) -> bool:
        """Whether a trial has not reported the metric, and no other one has: perhaps none ever does."""
        if not self.stats.is_metric_missing or self.stats.has_results:
            return False
        return not any(run.last_report for live in self.live.trials.values() for run in live.runs)
