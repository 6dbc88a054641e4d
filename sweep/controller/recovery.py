"""`Recovery`: continues the trials that an earlier session, or a controller that died, left running."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial

from sweep.controller.hparams_writer import HParamsWriter
from sweep.controller.live_trials import LiveTrials
from sweep.controller.outcome_recorder import OutcomeRecorder
from sweep.controller.reports import Reports
from sweep.controller.runs import Decision, LiveRun, LiveTrial, attempts, trial_seconds
from sweep.controller.statistics import TrialStats
from sweep.controller.trial_files import TrialFiles
from sweep.messages import AttemptResult, Outcome, RunningAttempt, TrialStateName
from sweep.space import SearchSpace
from sweep.study import attributes
from sweep.study.private import reopen_trial
from sweep.sweepfile import SweepSpec


@dataclass(frozen=True, eq=False)
class Recovery:
    """Rebuilds the live trials from the study when a controller starts.

    Attempts of an earlier session are void, and another one follows each. If only the controller died, its
    workers continue to run: `adopt` takes over the attempts that they execute, and `repeat_result` repeats
    answers that the dead controller might not have sent.

    Args:
        spec: the sweep.
        space: its search space.
        live: the live trials, empty so far.
        reports: stores the reports that a worker wrote but did not send.
        recorder: records trials whose runs have all finished.
        stats: knows the best trial.
        files: the files of the trials.
        hparams: writes the ends of runs for TensorBoard.
        has_workers: whether only the controller died.
    """

    spec: SweepSpec
    space: SearchSpace
    live: LiveTrials
    reports: Reports
    recorder: OutcomeRecorder
    stats: TrialStats
    files: TrialFiles
    hparams: HParamsWriter
    has_workers: bool
    _finished_trials: dict[int, FrozenTrial] = field(default_factory=dict)
    """Trials whose last outcome the dead controller might not have answered."""
    _finished_repeats: set[tuple[int, int]] = field(default_factory=set)
    """The same for repeats of live trials."""

    def restore(self, study: optuna.Study, trials: Iterable[FrozenTrial]) -> None:
        """Create live trials for the unfinished trials of the study."""
        for trial in trials:
            if trial.state == optuna.trial.TrialState.RUNNING:
                self._restore_trial(study, trial)
            elif self.has_workers and trial.state.is_finished():
                self._finished_trials[trial.number] = trial

    def _restore_trial(self, study: optuna.Study, frozen: FrozenTrial) -> None:
        # It was created before its parameters were sampled. If these are missing, it has had no attempt yet.
        is_new = not frozen.params and bool(self.space.variables)
        live = self.live.add(reopen_trial(study, frozen), None if is_new else frozen.user_attrs)
        self.reports.restore(live.runs[0], frozen.intermediate_values)
        if attributes.DECISION in frozen.user_attrs:
            live.decision = Decision(**frozen.user_attrs[attributes.DECISION])
        for run in live.runs:
            run.constraints = frozen.system_attrs.get(run.attribute(attributes.CONSTRAINTS), {})
            has_ended = frozen.user_attrs.get(run.attribute(attributes.ENDED), 0) == run.attempt
            self._restore_run(live, run, has_ended)
        if live.decision is not None:
            self.recorder.cancel_waiting(live)
        if live.is_finished:
            self.recorder.settle(live.runs[live.decision.repeat if live.decision is not None else -1])

    def _restore_run(self, live: LiveTrial, run: LiveRun, has_ended: bool) -> None:
        if run.state == "finished" or (live.decision is not None and has_ended):
            run.state = "finished"
            if self.has_workers:
                self._finished_repeats.add(run.key)
            if run.attempt > 0:
                self.hparams.restore_end(live, run)
        elif has_ended:
            self.live.waiting.append(run)
        elif self.has_workers:
            run.state = "running"
        else:
            self.reports.store(run, self.files.reports(run))
            self.live.wait_after_loss(run)

    def adopt(self, running: Iterable[RunningAttempt]) -> None:
        """Continue these attempts, and take back all others, which no worker executes."""
        by_run = {(attempt.number, attempt.repeat): attempt for attempt in running}
        runs = [run for live in self.live.trials.values() for run in live.runs if run.state == "running"]
        for run in runs:
            attempt = by_run.get(run.key)
            if attempt is not None and attempt.attempt == run.attempt:
                self.live.resume(run, attempt)
            else:
                self.recorder.undo_start(run)

    def repeat_result(self, outcome: Outcome) -> AttemptResult | None:
        """The result of an outcome that the dead controller recorded, once; None if it was not recorded."""
        label = self.spec.run_labels[outcome.repeat]
        live = self.live.trials.get(outcome.number)
        if live is not None:
            run = live.runs[outcome.repeat]
            if run.key not in self._finished_repeats or run.attempt != outcome.attempt:
                return None
            self._finished_repeats.discard(run.key)
            return live.repeat_result(run, outcome)
        trial = self._finished_trials.get(outcome.number)
        if trial is None or attempts(trial.user_attrs, label) != outcome.attempt:
            return None
        del self._finished_trials[outcome.number]
        state: TrialStateName = trial.state.name  # type: ignore[assignment]
        return AttemptResult.of(
            outcome,
            label,
            state=state,
            value=trial.values[0] if trial.values else None,
            reason=trial.user_attrs.get(attributes.REASON, ""),
            is_best=trial is self.stats.best and len(self.spec.goals) == 1,
            duration_s=trial_seconds(trial) or 0.0,
            params=self.space.complete(trial.params),
        )
