"""`Controller`: the only writer of a sweep's study. Engines call it; the other modules here are its parts.

A sweep's life, in the order of the calls:

1. The controller opens the study and restores the trials that an earlier session left (`recovery.py`).
2. `next_step` decides what runs next (`scheduler.py`) and starts the attempt (`live_trials.py`).
3. The running trial reports values and asks whether to stop (`reports.py`).
4. `next_step` or `finish` records the outcome of the attempt (`outcome_recorder.py`): either the trial waits
   for a retry, or its final state is recorded, counted (`statistics.py`) and shown in TensorBoard
   (`hparams_writer.py`).
5. When a stop rule is reached (`stop_rules.py`), no attempt starts any more, and the engine closes the
   controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution

from sweep.controller.gpu_shares import GpuShares
from sweep.controller.hparams_writer import HParamsWriter
from sweep.controller.live_trials import LiveTrials
from sweep.controller.outcome_recorder import OutcomeRecorder
from sweep.controller.recovery import Recovery
from sweep.controller.reports import Reports
from sweep.controller.runs import Decision, LiveRun
from sweep.controller.scheduler import Scheduler
from sweep.controller.statistics import TrialStats
from sweep.controller.trial_files import TrialFiles
from sweep.controller.usage import UsageMeter
from sweep.messages import (
    Assignment,
    AttemptResult,
    NextStep,
    Outcome,
    Progress,
    ReportEvent,
    RunningAttempt,
    RunningTrial,
    Suggestion,
    TrialMessage,
)
from sweep.space import SearchSpace
from sweep.space.space import suggest
from sweep.study import attributes
from sweep.study.custom_sampler import raised_by_custom_sampler
from sweep.study.storage import IndexedJournalStorage
from sweep.study.study import SweepStudy
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory


class Controller:
    """Decides which trial runs next, stores what trials report, and records their outcomes.

    It creates or opens the sweep's study. Trials that an earlier session left running get another attempt
    under their own numbers. Not thread-safe: use it from one thread only, because Optuna's caches are per
    thread.

    When a call returns, its effect is in the journal. So the controller can die at any moment and be
    replaced. A call that is repeated because it was not answered has no second effect (see `adopt`).

    Args:
        spec: the sweep.
        directory: its directory, which exists.
        slots: the number of trials that can run at once, for the usage statistics.
        run_id: the id of this run of the sweep. If the study was last used by the same run, this controller
            replaces one that died while its workers continue to run.
        keeps_report_events: whether reports are passed on to the engine.
        samples_ahead: whether configurations are sampled in a thread, before trials need them. Then a slow
            sampler delays only the slot that waits for it.
        known: a storage of this process that has read the study's journal.
    """

    def __init__(
        self,
        spec: SweepSpec,
        directory: SweepDirectory,
        slots: int,
        run_id: str = "",
        keeps_report_events: bool = False,
        samples_ahead: bool = False,
        known: IndexedJournalStorage | None = None,
    ) -> None:
        self._spec = spec
        self._given_notes: set[str] = set()
        space = SearchSpace.of(spec)
        self._sweep_study = study = SweepStudy(spec, space, directory, samples_ahead, known)
        self._study = study.optuna_study
        trials = study.trials
        has_workers = run_id != "" and self._study.user_attrs.get(attributes.RUN) == run_id
        self._hparams = hparams = HParamsWriter(spec, space, directory)
        hparams.declare_columns()
        self._meter = UsageMeter(directory, self._study, slots)
        self._stats = stats = TrialStats(spec, space, trials)
        self._live = live = LiveTrials(spec, space, study.seed, hparams, self._meter)
        self._reports = reports = Reports(spec, study.pruning, live, keeps_report_events)
        self._scheduler = Scheduler(spec, self._study, live, stats, self._meter)
        files = TrialFiles(directory, spec.pruning_metric.name)
        self._gpus = GpuShares(spec, self._study, live)
        self._recorder = recorder = OutcomeRecorder(
            spec, study, live, reports, self._scheduler, self._gpus, stats, files, hparams
        )
        self._recovery = Recovery(spec, space, live, reports, recorder, stats, files, hparams, has_workers)
        hparams.restore_last_end(trials, study.seed)
        with self._changes():
            self._recovery.restore(self._study, trials)
            self._study.set_user_attr(attributes.RUN, run_id)
        self._scheduler.sample_next()

    # Called for a running trial, by its engine.

    def report(self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int = 0) -> None:
        """Store messages from a trial. A step that was reported before keeps its first value.

        Messages from an attempt that is not the current one are ignored.
        """
        self._store(number, attempt, reports, repeat)

    def _store(
        self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int
    ) -> LiveRun | None:
        """Store messages from a trial, and return its run; None if the attempt is not the current one."""
        run = self._live.current(number, attempt, repeat)
        if run is not None:
            with self._changes():
                self._reports.store(run, reports)
        return run

    def should_prune(
        self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int = 0
    ) -> bool:
        """Store `reports`, then return whether the pruner stops the trial, or has stopped it.

        The pruner looks only at the first repeat of a trial, and the other repeats follow it.
        """
        run = self._store(number, attempt, reports, repeat)
        if run is None:
            return False
        live = self._live.of(run)
        if live.decision is None and self._reports.should_prune(run):
            if not live.has_repeats:
                return True
            with self._changes():
                self._recorder.decide(live, Decision("PRUNED", "", repeat))
        return live.decision is not None

    def must_end(self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int = 0) -> bool:
        """Store `reports`, then return whether the trial must stop at its next checkpoint."""
        run = self._store(number, attempt, reports, repeat)
        if self._scheduler.is_draining:
            return True
        return run is not None and (run.must_move or self._live.of(run).decision is not None)

    def suggest(
        self,
        number: int,
        attempt: int,
        reports: Iterable[TrialMessage],
        repeat: int,
        name: str,
        distribution: BaseDistribution,
    ) -> Suggestion:
        """Store `reports`, then sample a parameter for a define-by-run trial, or return the one it has."""
        run = self._store(number, attempt, reports, repeat)
        if run is None:
            return Suggestion(problem="this attempt of the trial is over")
        live = self._live.of(run)
        try:
            with self._changes():
                value = suggest(live.trial, name, distribution)
        except (ValueError, TypeError, OverflowError) as error:
            # Choices that differ from earlier ones or cannot be stored in the journal, or an infinite range.
            if raised_by_custom_sampler(self._spec.sampler, error):
                raise
            problem = str(error)
            if "dynamic value space" in problem:
                problem = (
                    "its choices differ from those in earlier trials of the sweep, which Optuna does not "
                    "allow; run it under another name, or again from the beginning (fresh)"
                )
            return Suggestion(problem=f"{name}: {problem}")
        live.params = {**live.params, name: value}
        self._hparams.update_cells(live)
        return Suggestion(value)

    # Called by an engine.

    def next_step(self, outcome: Outcome | None, has_worker: bool = True) -> NextStep:
        """Record the outcome of a slot's attempt, if it executed one, and return the slot's next attempt.

        When this returns, a final state is durable.

        Args:
            outcome: the outcome of the attempt.
            has_worker: whether the slot can start an attempt now. If not, it gets none.
        """
        with self._changes():
            result = self._finish(outcome) if outcome is not None else None
            run = self._scheduler.next_run() if has_worker else None
            assignment = self._start(run) if run is not None else None
        wait = None
        if assignment is not None:
            self._scheduler.sample_next()
        else:
            wait = self._scheduler.seconds_until_next()
        return NextStep(result, assignment, wait, self.take_report_events(), self._gpus.share)

    def finish(self, outcome: Outcome) -> AttemptResult | None:
        """Record the outcome of an attempt.

        Returns:
            None if it is not the trial's current attempt; nothing was recorded then.
        """
        with self._changes():
            return self._finish(outcome)

    def _finish(self, outcome: Outcome) -> AttemptResult | None:
        run = self._live.current(outcome.number, outcome.attempt, outcome.repeat)
        result = self._recovery.repeat_result(outcome) if run is None else self._recorder.record(run, outcome)
        found = outcome.notes if result is None else (*outcome.notes, *result.notes, *self._gpus.take_notes())
        notes = tuple(note for note in found if note not in self._given_notes)
        self._given_notes.update(notes)
        return result if result is None else replace(result, notes=notes)

    def _start(self, run: LiveRun) -> Assignment:
        self._live.start(run)
        return Assignment(
            number=run.number,
            attempt=run.attempt,
            params=self._live.of(run).params,
            session=run.session,
            seed=run.seed,
            repeat=run.repeat,
            label=run.label,
            gpu=self._gpus.of(run),
        )

    def return_assignment(self, number: int, attempt: int, repeat: int = 0) -> None:
        """Take back an attempt that no worker executes. It is assigned again later."""
        run = self._live.current(number, attempt, repeat)
        if run is not None:
            with self._changes():
                self._recorder.undo_start(run)

    def adopt(self, running: Iterable[RunningAttempt]) -> None:
        """Continue running attempts, after this controller has replaced one that died.

        Args:
            running: the attempts whose outcomes have not been sent, or not been answered. All others are
                assigned again: the dead controller's answers with these assignments were lost.
        """
        with self._changes():
            self._recovery.adopt(running)

    def move(self, number: int, attempt: int, repeat: int = 0) -> None:
        """Tell a running attempt to stop at its next checkpoint, because it cannot stay where it runs.

        Its outcome, `interrupted`, is not a failure: the next attempt can start at once.
        """
        run = self._live.current(number, attempt, repeat)
        if run is not None:
            run.must_move = True

    def drain(self) -> None:
        """Stop the sweep: start nothing new, and tell running trials to stop at their next checkpoint."""
        self._scheduler.is_draining = True

    def set_slots(self, slots: int) -> None:
        """Record how many trials can run at once from now on."""
        self._meter.set_slots(slots)

    def stop_trial(self, number: int, reason: str) -> AttemptResult | None:
        """Prune a trial on the user's request, also if one of its attempts has just ended or been assigned.

        An attempt that is running is told to stop. If it is still in `progress` later, the engine must kill
        it (`RunningTrial.is_cancelled`).

        Returns:
            None if the trial has no final state yet because it is running, or already had one.
        """
        with self._changes():
            return self._recorder.stop_trial(number, reason)

    def resubmit(self, numbers: Iterable[int]) -> list[int]:
        """Enqueue new trials with the parameters of failed ones.

        Returns:
            the numbers of the trials that were resubmitted. Trials that have not failed, or were resubmitted
            before, are skipped.
        """
        with self._changes():
            chosen = self._sweep_study.requested.resubmit(numbers)
        self._stats.add_resubmissions(len(chosen))
        return chosen

    def enqueue(self, points: Iterable[Mapping[str, Any]], token: str) -> int:
        """Enqueue configurations that run next; returns how many.

        Args:
            points: the configurations, as Optuna would have sampled them.
            token: the id of the request. A second request with the same id has no effect.
        """
        with self._changes():
            count = self._sweep_study.requested.enqueue(points, token)
        self._stats.enqueued += count
        return count

    def progress(self) -> Progress:
        """The current state of the sweep."""
        usage = self._meter.now()
        live = sorted(self._live.trials.items())
        busy = sum(trial.is_running for _, trial in live)
        running = tuple(
            RunningTrial(
                number,
                run.attempt,
                trial.params,
                run.session.started,
                run.last_report,
                run.repeat,
                run.label,
                is_cancelled=trial.decision is not None and trial.decision.kills_attempts,
            )
            for number, trial in live
            for run in trial.runs
            if run.state == "running"
        )
        return Progress(
            counts=self._stats.counts(busy, len(live) - busy + self._stats.enqueued),
            total=self._stats.total,
            best=self._stats.best_trial,
            running=running,
            elapsed=usage.elapsed,
            seconds_left=self._stats.seconds_left(usage.elapsed),
            stopped_by=self._scheduler.stopped_by(),
            common_failure=self._scheduler.common_failure,
            is_metric_missing=self._scheduler.is_metric_missing,
            report_events=self.take_report_events(),
            slots=usage.slots,
        )

    def ask_again_in(self) -> float | None:
        """Seconds until an attempt can start; None if none will start unless trials are enqueued."""
        return self._scheduler.seconds_until_next()

    def take_report_events(self) -> tuple[ReportEvent, ...]:
        """The reports since the last call, if `keeps_report_events`."""
        return self._reports.take_events()

    def saving_usage(self) -> AbstractContextManager[None]:
        """While the block runs, store every two seconds how long the sweep has run."""
        return self._meter.saving()

    def close(self) -> Progress:
        """End the session. Live trials stay as they are; the next session continues them."""
        self._meter.save()
        self._sweep_study.close()
        return self.progress()

    @contextmanager
    def _changes(self) -> Iterator[None]:
        """Batch changes of the study: write them to the journal together, then show them in TensorBoard."""
        with self._sweep_study.batch():
            yield
        self._hparams.write_ends()
