"""`OutcomeRecorder`: records the outcomes of attempts and the final states of trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from sweep.controller.gpu_shares import GpuShares
from sweep.controller.hparams_writer import HParamsWriter
from sweep.controller.live_trials import LiveTrials
from sweep.controller.outcomes import final_metrics, resolve_state
from sweep.controller.reports import Reports
from sweep.controller.retries import FREE_LOSSES
from sweep.controller.runs import Decision, LiveRun, LiveTrial
from sweep.controller.scheduler import Scheduler
from sweep.controller.statistics import TrialStats
from sweep.controller.trial_files import TrialFiles
from sweep.messages import AttemptResult, Outcome, TrialStateName
from sweep.study import attributes
from sweep.study.private import store_constraint
from sweep.study.study import SweepStudy
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.types import short_repr
from sweep.tracking.run_logger import best_tag


@dataclass(frozen=True, eq=False)
class OutcomeRecorder:
    """Records the outcome of an attempt: its run waits for another attempt or finishes, and so may its trial.

    Args:
        spec: the sweep.
        study: its study.
        live: the live trials.
        reports: stores the reports that came with an outcome.
        scheduler: schedules retries.
        gpus: gives runs that ran out of GPU memory a larger share.
        stats: counts trials.
        files: the files of the trials.
        hparams: writes the ends of runs for TensorBoard.
    """

    spec: SweepSpec
    study: SweepStudy
    live: LiveTrials
    reports: Reports
    scheduler: Scheduler
    gpus: GpuShares
    stats: TrialStats
    files: TrialFiles
    hparams: HParamsWriter

    def record(self, run: LiveRun, outcome: Outcome) -> AttemptResult:
        """Record the outcome of the current attempt of a run."""
        live = self.live.of(run)
        if outcome.was_killed:
            outcome = self.files.complete(run, outcome)
        self.reports.store(run, outcome.reports)
        duration = self.live.end_attempt(run)
        state, reason = resolve_state(outcome, self.study.ranking, self.spec.metric.name)
        run.losses = run.losses + 1 if outcome.kind == "lost_node" else 0
        if run.losses > FREE_LOSSES:
            reason += f" {run.losses} times in a row; perhaps it needs more memory than the machine has"
        if state == "FAIL":
            self.files.write_error(run, outcome.traceback or reason + "\n")
        share, shared = run.gpu, self.gpus.record(run, outcome)
        delay = None
        if live.decision is None:
            delay = self.scheduler.schedule_retry(run, state, outcome.kind, is_free=shared)
        if delay is None:
            if state == "COMPLETE" and not live.has_repeats:
                live.decision = None  # the user has stopped it too late; its result is kept
            if state != "FAIL" or (live.decision is not None and live.decision.state != "FAIL"):
                self.files.set_error_aside(run)
            return self._finish_run(run, outcome, state, reason, duration)
        self.live.wait(run)
        if run.gpu != share:
            reason += f"; the next attempt has gpu: {run.gpu:g}"
        return AttemptResult.of(outcome, run.label, reason=reason, duration_s=duration, retry_in=delay)

    def _finish_run(
        self,
        run: LiveRun,
        outcome: Outcome,
        state: TrialStateName | None,
        reason: str,
        duration: float,
    ) -> AttemptResult:
        live = self.live.of(run)
        live.finish_run(run, outcome.value if state == "COMPLETE" else None, outcome.metrics, duration)
        self.reports.store_result(run)
        self.study.sync()
        if live.decision is None and state is not None and state != "COMPLETE":
            if live.has_repeats and state == "FAIL":
                reason = f"{run.label}: {reason}"
            self.decide(live, Decision(state, reason, run.repeat))
        elif live.decision is None and not live.is_finished and self.reports.should_prune_repeats(run):
            self.decide(live, Decision("PRUNED", "", run.repeat))
        self.hparams.add_end(live, run, is_whole=not outcome.was_killed)
        return self.settle(run, outcome)

    def stop_trial(self, number: int, reason: str) -> AttemptResult | None:
        """Prune a trial on the user's request: at once, or when its running attempts have ended.

        Such an attempt may not have begun, or may have ended, without the controller knowing it. So the
        request is remembered.

        Returns:
            None if the trial has no final state yet because a run is still running, or already had one.
        """
        live = self.live.trials.get(number)
        if live is None or live.decision is not None:
            return None
        last = max(live.runs, key=lambda run: run.attempt)
        outcome = self.files.complete(last, self._stopped(last, reason, was_killed=True))
        self.decide(live, Decision("PRUNED", reason, last.repeat))
        result = self.settle(last, outcome)
        return result if result.state is not None else None

    def undo_start(self, run: LiveRun) -> None:
        """Take back an attempt that no worker executes. Another one follows, unless the trial is decided."""
        live = self.live.of(run)
        self.live.undo_start(run)
        if live.decision is not None:
            self.cancel_waiting(live)
            self.settle(run)

    def decide(self, live: LiveTrial, decision: Decision) -> None:
        """Decide the final state of a trial, whatever the outcome of its other repeats."""
        live.decide(decision)
        self.cancel_waiting(live)

    def cancel_waiting(self, live: LiveTrial) -> None:
        """Finish the runs of a decided trial that wait for an attempt."""
        for run in live.runs:
            if run.state != "waiting":
                continue
            self.live.waiting.remove(run)
            if live.decision is not None and live.decision.state != "FAIL":
                self.files.set_error_aside(run)
            metrics: Mapping[str, float] = {}
            if run.attempt > 0 and live.has_repeats:
                metrics = self.files.complete(run, self._stopped(run)).metrics
            live.finish_run(run, None, metrics, run.last_attempt_seconds)
            if run.attempt > 0 or not live.has_repeats:
                self.hparams.add_end(live, run, is_whole=False)

    def settle(self, run: LiveRun, outcome: Outcome | None = None) -> AttemptResult:
        """Record the final state of a trial if all its runs have finished.

        Args:
            run: the run that finished last.
            outcome: the outcome of its last attempt; None if it was lost, or has been recorded before.
        """
        outcome = outcome or self.files.complete(run, self._stopped(run))
        live = self.live.of(run)
        if not live.is_finished:
            return live.repeat_result(run, outcome)
        metrics = outcome.metrics
        if self.spec.repeats is not None:
            reduce = self.spec.repeats.reduce
            metrics = live.metrics(reduce)
            # The mean, as in the trial's row in TensorBoard.
            outcome = replace(outcome, value=live.value(reduce), metrics=live.metrics("mean"))
        metrics = final_metrics(replace(outcome, metrics=metrics), self.spec.metric.name)
        decision = live.decision or Decision("COMPLETE", "")
        missing = self.study.ranking.missing(metrics)
        if decision.state == "COMPLETE" and missing is not None:
            # The mean of +inf and -inf.
            decision = Decision("FAIL", f"the metric {missing!r} is NaN")
        return self._finish_trial(live, outcome, metrics, decision)

    def _finish_trial(
        self, live: LiveTrial, outcome: Outcome, metrics: Mapping[str, float], decision: Decision
    ) -> AttemptResult:
        state, reason, duration = decision.state, decision.reason, live.duration_s
        self._store_attributes(live, outcome, reason)
        self._store_constraints(live, {} if state == "FAIL" else self.study.ranking.excesses(metrics))
        values = self.study.ranking.values(metrics) if state == "COMPLETE" else None
        finished = self.study.optuna_study.tell(live.trial, values, TrialState[state])
        live.finished = finished
        del self.live.trials[outcome.number]
        self.stats.is_metric_missing |= outcome.kind == "unreported"
        # With several goals, none of the best trials is better than the others.
        is_best = self.stats.add(finished) and len(self.spec.goals) == 1
        last = live.runs[outcome.repeat].last_report
        return AttemptResult.of(
            outcome,
            self.spec.run_labels[outcome.repeat],
            state=state,
            value=finished.values[0] if finished.values else None,
            reason=reason,
            is_best=is_best,
            duration_s=duration,
            step=None if last is None else last.step,
            params=live.params,
            notes=self._unused_values(finished),
        )

    def _unused_values(self, trial: FrozenTrial) -> tuple[str, ...]:
        """Notes about enqueued values for which a define-by-run objective has not asked."""
        if not self.spec.is_define_by_run or trial.state != TrialState.COMPLETE:
            return ()
        given = trial.system_attrs.get("fixed_params", {})
        return tuple(
            f"the enqueued {name}={short_repr(value)} was not used: the objective suggests no {name!r}"
            for name, value in given.items()
            if name not in trial.params
        )

    def _store_constraints(self, live: LiveTrial, excesses: Mapping[str, float]) -> None:
        """Store the constraints of the objective, and the limits on metrics, where Optuna looks for them."""
        constraints = live.constraints(self.spec.repeats.reduce if self.spec.repeats is not None else "max")
        for name, excess in excesses.items():
            # If the objective has set a constraint of the same name, both must hold.
            constraints[name] = max(excess, constraints.get(name, excess))
        for name, value in constraints.items():
            # There is a value already if a controller has died at this place.
            store_constraint(live.trial, name, value)

    def _store_attributes(self, live: LiveTrial, outcome: Outcome, reason: str) -> None:
        """Store the attributes of the trial that Optuna does not record itself."""
        reported = (self.spec.metric.name, best_tag(self.spec.metric.name))
        metrics = {
            name: value
            for name, value in outcome.metrics.items()
            # The reports of a single attempt contain these; those of several attempts are mixed.
            if math.isfinite(value)
            and (len(self.spec.goals) > 1 or not live.is_single_attempt or name not in reported)
        }
        if metrics or not live.is_single_attempt:
            live.trial.set_user_attr(attributes.METRICS, metrics)
        if reason:
            live.trial.set_user_attr(attributes.REASON, reason)
        # Optuna's own times include sampling, waiting and downtime.
        assert live.trial.datetime_start is not None
        since_creation = (datetime.now() - live.trial.datetime_start).total_seconds()
        if not live.is_single_attempt or since_creation > live.duration_s + 1:
            live.trial.set_user_attr(attributes.DURATION, round(live.duration_s, 3))

    @staticmethod
    def _stopped(run: LiveRun, reason: str = "", was_killed: bool = False) -> Outcome:
        return Outcome(
            run.number, run.attempt, "stopped", reason=reason, was_killed=was_killed, repeat=run.repeat
        )
