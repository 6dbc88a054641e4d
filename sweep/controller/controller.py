"""The Controller: the one owner of a sweep's study, and of every decision about its trials."""

from __future__ import annotations

import math
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.controller.hparams_rows import HParamsRows
from sweep.controller.outcomes import numbers_of, resolve_state
from sweep.controller.retries import RetryRules
from sweep.controller.runs import LiveRun, LiveTrial, Verdict, attempts, make_runs
from sweep.controller.statistics import TrialStats
from sweep.controller.trial_files import TrialFiles
from sweep.controller.usage import Usage, UsageMeter
from sweep.messages import (
    Assignment,
    AttemptResult,
    BestTrial,
    NextStep,
    Note,
    Outcome,
    Progress,
    ReportEvent,
    RunningAttempt,
    RunningTrial,
    Suggestion,
    TrialMessage,
    TrialStateName,
)
from sweep.space import SearchSpace
from sweep.space.space import suggest
from sweep.study import study as attributes
from sweep.study.enqueue import enqueue_configurations, enqueue_start_points
from sweep.study.journal import Journal
from sweep.study.pruners import make_pruner
from sweep.study.pruning import Pruning
from sweep.study.ranking import Ranking
from sweep.study.resubmission import enqueue_resubmissions
from sweep.study.samplers import make_sampler
from sweep.study.study import create_or_load_study, open_url
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.tracking.run_logger import best_tag

_SAVE_USAGE_EVERY = 2.0  # seconds
_STATES: dict[TrialState, TrialStateName] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}


class Controller:
    """Decides which trial runs next, keeps what is reported, and records how each one ended.

    It opens the sweep's study or creates it; trials that a former session left running are run again under
    their own numbers. Not thread-safe, and to be used from one thread only: Optuna's caches are per thread.

    What it must not forget is in the journal when a call returns, so it can die at any moment and be
    replaced: the calls that went unanswered are made again, and have no second effect (see `adopt`).

    Args:
        spec: the sweep.
        directory: where it lies; it exists.
        slots: how many trials can run at once, for the record.
        run_id: of this run of the sweep. If the study was last used by the same run, this controller takes
            the place of one that died while its trials ran on.
        keeps_report_events: whether reports are handed on, as `report_events`.
    """

    def __init__(
        self,
        spec: SweepSpec,
        directory: SweepDirectory,
        slots: int,
        run_id: str = "",
        keeps_report_events: bool = False,
    ) -> None:
        self._report_events: list[ReportEvent] | None = [] if keeps_report_events else None
        self._spec = spec
        self._files = TrialFiles(directory, spec.pruning_metric.name, spec.run_labels)
        self._space = SearchSpace.of(spec)
        self._rows = HParamsRows(spec, self._space, directory.root, self._files)
        self._retries = RetryRules(spec.trial)
        self._gives_way = False
        self._is_unreported = False
        """Whether a trial has done its work without ever saying what its metric is."""
        self._journal = Journal(directory.journal) if spec.storage is None else None
        storage = JournalStorage(self._journal) if self._journal is not None else open_url(str(spec.storage))
        self._study = create_or_load_study(spec, storage)
        self._seed = self._sweep_seed()
        enqueue_start_points(self._study, spec, self._space)
        trials = self._study.get_trials(deepcopy=False)
        replaces = run_id != "" and self._study.user_attrs.get(attributes.RUN) == run_id
        pruning_goal = spec.goals.index(spec.pruning_metric)
        self._pruning = Pruning(self._study, make_pruner(spec.pruner), pruning_goal)
        self._study.sampler = make_sampler(
            spec.sampler, self._space, self._seed, len(trials), len(spec.goals), pruning_goal
        )
        self._rows.declare()
        usage = Usage.from_attribute(self._study.user_attrs.get(attributes.USAGE))
        self._meter = UsageMeter(usage, slots)
        self._save_usage()
        self._ranking = Ranking(spec)
        self._stats = TrialStats(spec, self._space, trials)
        self._told = {trial.number: trial for trial in trials if replaces and trial.state.is_finished()}
        """Outcomes that a dead controller recorded; its last answers may not have arrived."""
        self._told_runs: set[tuple[int, int]] = set()
        """The same for repeats of trials that go on."""
        self._live: dict[int, LiveTrial] = {}
        self._again: deque[LiveRun] = deque()
        """Runs of live trials that wait for their next attempt, or their first."""
        self._rows.tell_last(trials, self._seed)
        with self._batch():
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    self._take_up(trial, runs_on=replaces)
            self._study.set_user_attr(attributes.RUN, run_id)
        self._rows.tell_ends()

    # What an engine asks for.

    def report(self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int = 0) -> None:
        """Keep what a trial says on its way. A step that was reported before keeps its first value.

        TrialMessage from an attempt that is no longer the current one is ignored.
        """
        run = self._current(number, attempt, repeat)
        if run is not None:
            with self._batch():
                self._keep(self._live[number], run, reports)

    def should_prune(
        self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int = 0
    ) -> bool:
        """Keep `reports`, then say whether the pruner would stop the trial, or has stopped it.

        Of a trial with repeats the first one is pruning_goal, and the others follow: what is compared between
        trials has to have come about in the same way.
        """
        self.report(number, attempt, reports, repeat)
        run = self._current(number, attempt, repeat)
        if run is None:
            return False
        live = self._live[number]
        if live.verdict is None and self._reports_count(run) and self._would_prune(live, run):
            if not live.has_repeats:
                return True
            with self._batch():
                self._condemn(live, Verdict("PRUNED", "", repeat))
            self._rows.tell_ends()
        return live.verdict is not None

    def suggest(
        self,
        number: int,
        attempt: int,
        reports: Iterable[TrialMessage],
        repeat: int,
        name: str,
        distribution: BaseDistribution,
    ) -> Suggestion:
        """A trial asks for a parameter that nobody declared. Asked again, it has the same value.

        There is one `optuna.Trial` for each trial, here, so that what is sampled jointly stays together.
        """
        self.report(number, attempt, reports, repeat)
        if self._current(number, attempt, repeat) is None:
            return Suggestion(problem="this attempt of the trial is over")
        live = self._live[number]
        try:
            with self._batch():
                value = suggest(live.trial, name, distribution)
        except (ValueError, TypeError, OverflowError) as error:
            # Other choices than before, or some that no journal can hold, or an endless range.
            return Suggestion(problem=f"{name}: {error}")
        live.params = {**live.params, name: value}
        self._rows.found(live)
        return Suggestion(value)

    def next_step(self, outcome: Outcome | None) -> NextStep:
        """A slot is free: record how its attempt ended, if it ran one, and give it the next.

        When this returns, a final outcome is durable.
        """
        with self._batch():
            result = self._finish(outcome) if outcome is not None else None
            assignment = self._next()
        self._rows.tell_ends()
        again_in = None if assignment is not None else self.ask_again_in()
        return NextStep(result, assignment, again_in, self.take_report_events())

    def next(self) -> Assignment | None:
        """The next attempt to run, or None if there is nothing to do (any more)."""
        return self.next_step(None).assignment

    def finish(self, outcome: Outcome) -> AttemptResult | None:
        """Record how an attempt ended, and hand out nothing new.

        Returns:
            None if it is not the trial's current attempt: then nothing was recorded.
        """
        with self._batch():
            result = self._finish(outcome)
        self._rows.tell_ends()
        return result

    def give_way(self) -> None:
        """The sweep is being stopped: hand out nothing new, and tell trials so at their checkpoints."""
        self._gives_way = True

    def must_end(self, number: int, attempt: int, reports: Iterable[TrialMessage], repeat: int = 0) -> bool:
        """Keep `reports`, then say whether a trial has to end as soon as nothing is lost by that.

        That is so at a checkpoint that it has saved, or at once if it keeps its state by itself.
        """
        self.report(number, attempt, reports, repeat)
        run = self._current(number, attempt, repeat)
        return self._gives_way or (run is not None and self._live[number].verdict is not None)

    def adopt(self, running: Iterable[RunningAttempt]) -> None:
        """Learn which attempts run on, after having taken a dead controller's place.

        Args:
            running: those whose outcomes have not been told, or not been answered. Attempts beside these were
                handed out by the dead controller, but nobody heard of them: they are handed out anew.
        """
        attempts = {(known.number, known.repeat): known for known in running}
        with self._batch():
            for run in [run for live in self._live.values() for run in live.runs if run.is_running]:
                known = attempts.get(run.key)
                if known is not None and known.attempt == run.attempt:
                    self._meter.start(run.key, time.time() - known.started)
                    run.session = replace(run.session, started=known.started)
                else:
                    self._take_back(run)
        self._rows.tell_ends()

    def give_back(self, number: int, attempt: int, repeat: int = 0) -> None:
        """An attempt was handed out that nobody will run now: it is handed out anew later."""
        run = self._current(number, attempt, repeat)
        if run is not None:
            self._meter.end(run.key)
            with self._batch():
                self._take_back(run)
            self._rows.tell_ends()

    def _take_back(self, run: LiveRun) -> None:
        live = self._live[run.number]
        run.attempt -= 1
        live.trial.set_user_attr(run.attribute(attributes.ATTEMPTS), run.attempt)
        live.trial.set_user_attr(run.attribute(attributes.ENDED), run.attempt)
        run.is_running = False
        self._again.append(run)
        if live.verdict is not None:
            self._drop_waiting(live)
            self._settle(live, run, Outcome(run.number, run.attempt, "stopped", repeat=run.repeat))

    def abandon(self, number: int, reason: str) -> AttemptResult | None:
        """A trial is to have no attempts any more. Repeats that run are told so, or have to be ended.

        Returns:
            None if it has no outcome yet, for something of it runs, or if it had one before.
        """
        live = self._live.get(number)
        if live is None or live.verdict is not None or not (live.is_waiting or live.has_repeats):
            return None
        last = max(live.runs, key=lambda run: run.attempt)
        outcome = self._files.recover(
            Outcome(number, last.attempt, "stopped", reason=reason, was_killed=True, repeat=last.repeat)
        )
        with self._batch():
            self._condemn(live, Verdict("PRUNED", reason, last.repeat))
            result = self._settle(live, last, outcome)
        self._rows.tell_ends()
        return result if result.state is not None else None

    def resubmit(self, numbers: Iterable[int]) -> list[int]:
        """Have failed trials run again, as new trials with the same parameters.

        Returns:
            those that will be; trials that have not failed, or are being run again already, will not.
        """
        with self._batch():
            chosen = enqueue_resubmissions(self._study, numbers)
        self._stats.add_resubmissions(len(chosen))
        return chosen

    def enqueue(self, points: Iterable[Mapping[str, Any]], token: str) -> int:
        """Have configurations tried next; says how many.

        Args:
            points: as Optuna would have sampled them.
            token: of the wish; asked a second time with the same one, nothing happens.
        """
        with self._batch():
            count = enqueue_configurations(self._study, points, token)
        self._stats.enqueued += count
        return count

    def progress(self) -> Progress:
        """Where the sweep stands."""
        self._save_usage_sometimes()
        usage = self._meter.now()
        running = tuple(
            RunningTrial(
                number,
                run.attempt,
                live.params,
                run.session.started,
                run.last,
                run.repeat,
                run.label,
                is_futile=live.verdict is not None and live.verdict.state == "FAIL",
            )
            for number, live in sorted(self._live.items())
            for run in live.runs
            if run.is_running
        )
        busy = sum(live.is_running for live in self._live.values())
        return Progress(
            counts={
                "complete": self._stats.ended(TrialState.COMPLETE),
                "pruned": self._stats.ended(TrialState.PRUNED),
                "failed": self._stats.ended(TrialState.FAIL),
                "running": busy,
                "waiting": len(self._live) - busy + self._stats.enqueued,
            },
            total=self._stats.total,
            best=self._best(),
            running=running,
            elapsed=usage.elapsed,
            seconds_left=self._stats.seconds_left(usage.elapsed),
            stopped_by=self.stopped_by(),
            report_events=self.take_report_events(),
        )

    def take_report_events(self) -> tuple[ReportEvent, ...]:
        """The reports that nobody has been told of, if somebody wants to."""
        if not self._report_events:
            return ()
        report_events, self._report_events = tuple(self._report_events), []
        return report_events

    def stopped_by(self) -> str | None:
        """The stop rule that is reached, or None."""
        if self._is_unreported and not self._is_reported():
            return "metric"  # it would be no different with other parameters
        return self._stats.stopped_by(self._meter.now().elapsed)

    def close(self) -> Progress:
        """The session ends; live trials stay as they are, for the next one to run again."""
        self._save_usage()
        return self.progress()

    # How it keeps its books.

    def _is_reported(self) -> bool:
        """Whether any trial has said what its metric is."""
        has_ended = self._stats.ended(TrialState.COMPLETE) or self._stats.ended(TrialState.PRUNED)
        return bool(has_ended) or any(run.last for live in self._live.values() for run in live.runs)

    def _best(self) -> BestTrial | None:
        best = self._stats.best
        if best is None:
            return None
        return BestTrial(best.number, best.values[0], self._space.complete(best.params))

    def _next(self) -> Assignment | None:
        if self._gives_way or self.stopped_by() is not None:
            return None
        now = time.monotonic()
        for run in self._again:
            if run.ready <= now:
                self._again.remove(run)
                return self._assign(run)
        if self._stats.is_complete(len(self._live)):
            return None
        trial = self._study.ask()
        self._sample(trial)
        if self._stats.enqueued:  # Optuna gives those first
            self._stats.enqueued -= 1
        live = self._live[trial.number] = self._make_live(trial)
        self._again.extend(live.runs[1:])
        return self._assign(live.runs[0])

    def _sample(self, trial: optuna.Trial) -> None:
        params = self._space.suggest(trial)
        if not self._space.is_plain and attributes.PARAMS not in trial.user_attrs:
            trial.set_user_attr(attributes.PARAMS, params)

    def ask_again_in(self) -> float | None:
        """Seconds until there is something to hand out; None if there will not be, as far as is known."""
        if self._gives_way or self.stopped_by() is not None:
            return None
        if not self._stats.is_complete(len(self._live)):
            return 0.0
        if not self._again:
            return None
        return max(0.0, min(run.ready for run in self._again) - time.monotonic())

    def _finish(self, outcome: Outcome) -> AttemptResult | None:
        run = self._current(outcome.number, outcome.attempt, outcome.repeat)
        if run is None:
            return self._tell_again(outcome)
        live = self._live[outcome.number]
        if outcome.was_killed:
            outcome = self._files.recover(outcome)
        self._keep(live, run, outcome.reports)
        took = self._meter.end(run.key)
        state, reason = resolve_state(outcome, self._ranking, self._spec.metric.name)
        may_go_on = live.verdict is None
        if state == "FAIL":
            self._files.write_error(outcome, reason)
            if self._retries.counts(outcome.kind):
                run.failures += 1
            if may_go_on and self._retries.allow(outcome.kind, run.failures) and self.stopped_by() is None:
                run.ready = time.monotonic() + self._retries.delay(run.failures)
                live.trial.set_user_attr(run.attribute(attributes.FAILURES), run.failures)
                return self._pause(live, run, outcome, reason, took)
        elif state is None and may_go_on:
            return self._pause(live, run, outcome, reason, took)
        return self._end_run(live, run, outcome, state, reason, took)

    def _end_run(
        self,
        live: LiveTrial,
        run: LiveRun,
        outcome: Outcome,
        state: TrialStateName | None,
        reason: str,
        took: float,
    ) -> AttemptResult:
        """A run is over; if it is the trial's last one, so is the trial."""
        live.end_run(run, outcome.value if state == "COMPLETE" else None, outcome.metrics, took)
        if self._judges_repeats and run.value is not None:
            self._pruning.report(live.trial, run.repeat, run.value)
        if self._journal is not None:
            self._journal.sync()
        if live.verdict is None and state is not None and state != "COMPLETE":
            named = f"{run.label}: {reason}" if live.has_repeats and state == "FAIL" else reason
            self._condemn(live, Verdict(state, named, run.repeat))
        elif live.verdict is None and not live.is_over and self._is_hopeless(live, run):
            self._condemn(live, Verdict("PRUNED", "", run.repeat))
        self._rows.note_end(live, run, is_whole=not outcome.was_killed)
        return self._settle(live, run, outcome)

    def _is_hopeless(self, live: LiveTrial, run: LiveRun) -> bool:
        """A repeat is complete: whether the others are not worth their time any more."""
        if self._judges_repeats:
            return self._pruning.should_prune(live.trial)
        return self._reports_count(run) and self._would_prune(live, run)

    @property
    def _judges_repeats(self) -> bool:
        """Whether the pruner compares the results of repeats, and not what they report on their way."""
        return self._spec.repeats is not None and str(self._spec.pruner.type) == "wilcoxon"

    def _reports_count(self, run: LiveRun) -> bool:
        """Whether the pruner sees what a run reports."""
        return run.repeat == 0 and not self._judges_repeats

    def _would_prune(self, live: LiveTrial, run: LiveRun) -> bool:
        return run.has_caught_up and self._pruning.should_prune(live.trial)

    def _condemn(self, live: LiveTrial, verdict: Verdict) -> None:
        """However its other repeats would end, it is clear how the trial does."""
        live.condemn(verdict)
        self._drop_waiting(live)

    def _drop_waiting(self, live: LiveTrial) -> None:
        """Runs that wait are not begun any more."""
        for run in live.runs:
            if run.is_running or run.is_over:
                continue
            if run in self._again:
                self._again.remove(run)
            if run.attempt > 0 and live.has_repeats:
                found = self._files.recover(Outcome(run.number, run.attempt, "stopped", repeat=run.repeat))
                live.end_run(run, None, found.metrics, 0.0)
            run.is_over = True
            if run.attempt > 0 or not live.has_repeats:
                self._rows.note_end(live, run, is_whole=False)

    def _settle(self, live: LiveTrial, run: LiveRun, outcome: Outcome) -> AttemptResult:
        """Record the trial's outcome if nothing of it is left to be waited for.

        Args:
            live: the trial.
            run: which was its last one to be over.
            outcome: that of its attempt.
        """
        if not live.is_over:
            return run.attempt_result(outcome)
        verdict = live.verdict or Verdict("COMPLETE", "")
        repeats = self._spec.repeats
        whole = live.outcome(outcome, repeats)
        metrics = whole.metrics if repeats is None else live.metrics(repeats.reduce)
        numbers = numbers_of(replace(whole, metrics=metrics), self._spec.metric.name)
        if verdict.state == "COMPLETE" and (missing := self._ranking.missing(numbers)) is not None:
            verdict = Verdict("FAIL", f"the metric {missing!r} is NaN")  # of infinities
        return self._record(live, whole, numbers, verdict.state, verdict.reason)

    def _tell_again(self, outcome: Outcome) -> AttemptResult | None:
        label = self._spec.run_labels[outcome.repeat]
        live = self._live.get(outcome.number)
        if live is not None:
            run = live.runs[outcome.repeat]
            if run.key not in self._told_runs or run.attempt != outcome.attempt:
                return None
            self._told_runs.discard(run.key)
            return run.attempt_result(outcome)
        trial = self._told.get(outcome.number)
        if trial is None or attempts(trial.user_attrs, label) != outcome.attempt:
            return None
        del self._told[outcome.number]
        is_best = trial is self._stats.best and len(self._spec.goals) == 1
        reason = trial.user_attrs.get(attributes.REASON, "")
        took = trial.user_attrs.get(attributes.DURATION)
        if took is None and trial.duration is not None:
            took = trial.duration.total_seconds()
        return AttemptResult(
            trial.number,
            outcome.attempt,
            _STATES[trial.state],
            outcome.kind,
            trial.values[0] if trial.values else None,
            reason,
            is_best,
            took or 0.0,
            repeat=outcome.repeat,
            label=label,
            params=self._space.complete(trial.params),
        )

    def _pause(
        self, live: LiveTrial, run: LiveRun, outcome: Outcome, reason: str, took: float
    ) -> AttemptResult:
        """The run goes on later, with another attempt."""
        live.trial.set_user_attr(run.attribute(attributes.ENDED), outcome.attempt)
        run.is_running = False
        self._again.append(run)
        again_in = max(0.0, run.ready - time.monotonic())
        return AttemptResult(
            outcome.number,
            outcome.attempt,
            None,
            outcome.kind,
            reason=reason,
            duration_s=took,
            again_in=again_in,
            repeat=run.repeat,
            label=run.label,
        )

    def _keep(self, live: LiveTrial, run: LiveRun, reports: Iterable[TrialMessage]) -> None:
        for report in reports:
            if isinstance(report, Note):
                self._keep_note(live, report)
                continue
            run.last = report
            if self._report_events is not None and report.step not in run.told:
                run.told.add(report.step)  # what is recovered of a killed attempt has been sent in part
                self._report_events.append(ReportEvent(*run.key, run.attempt, report))
            if report.step not in run.steps:  # Optuna keeps the first value of a step
                run.add_steps([report.step])
                if self._reports_count(run):
                    self._pruning.report(live.trial, report.step, report.value)

    @staticmethod
    def _keep_note(live: LiveTrial, note: Note) -> None:
        if note.is_constraint:
            live.trial.set_constraint(note.key, note.value)
        else:
            live.trial.set_user_attr(note.key, note.value)

    def _batch(self) -> AbstractContextManager[None]:
        """What is written to the journal meanwhile is written together, at the end."""
        self._save_usage_sometimes()
        return self._journal.batch() if self._journal is not None else nullcontext()

    def _current(self, number: int, attempt: int, repeat: int) -> LiveRun | None:
        live = self._live.get(number)
        if live is None or not live.runs[repeat].is_running or live.runs[repeat].attempt != attempt:
            return None
        return live.runs[repeat]

    def _assign(self, run: LiveRun) -> Assignment:
        live = self._live[run.number]
        run.is_running = True
        run.attempt += 1
        run.last = None
        run.told.clear()
        run.session = replace(run.session, started=time.time())
        attempts_are_noted = run.attribute(attributes.ATTEMPTS) in live.trial.user_attrs
        if live.has_repeats or run.attempt > 1 or attempts_are_noted:
            live.trial.set_user_attr(run.attribute(attributes.ATTEMPTS), run.attempt)
        self._meter.start(run.key)
        return Assignment(
            number=run.number,
            attempt=run.attempt,
            params=live.params,
            session=run.session,
            seed=run.seed,
            repeat=run.repeat,
            label=run.label,
        )

    def _take_up(self, frozen: FrozenTrial, runs_on: bool) -> None:
        """A trial that a former session left without an outcome waits for its next attempts.

        Unless they run on, because only the controller died.
        """
        trial = optuna.Trial(self._study, frozen._trial_id)
        self._sample(trial)  # if the session died meanwhile
        live = self._live[frozen.number] = self._make_live(trial, frozen.user_attrs)
        if self._reports_count(live.runs[0]):
            live.runs[0].add_steps(frozen.intermediate_values)
            live.runs[0].told.update(frozen.intermediate_values)
        if attributes.VERDICT in frozen.user_attrs:
            live.verdict = Verdict(**frozen.user_attrs[attributes.VERDICT])
        for run in live.runs:
            has_ended = frozen.user_attrs.get(run.attribute(attributes.ENDED), 0) == run.attempt
            if run.is_over or (live.verdict is not None and has_ended):
                self._take_up_over(live, run, runs_on)
            elif runs_on and not has_ended:
                run.is_running = True
            else:
                if not has_ended:  # what its worker had written, but not lived to report
                    self._keep(live, run, self._files.written_reports(*run.key))
                    trial.set_user_attr(run.attribute(attributes.ENDED), run.attempt)
                self._again.append(run)
        if live.verdict is not None:
            self._drop_waiting(live)
        if live.is_over:
            last = live.runs[live.verdict.repeat if live.verdict is not None else -1]
            self._settle(live, last, Outcome(last.number, last.attempt, "stopped", repeat=last.repeat))

    def _take_up_over(self, live: LiveTrial, run: LiveRun, runs_on: bool) -> None:
        """A repeat's end is recorded; whoever waits for word of it may not have got any."""
        run.is_over = True
        if runs_on:
            self._told_runs.add(run.key)
        if run.attempt > 0:
            self._rows.make_up_end(live, run)

    def _make_live(self, trial: optuna.Trial, user_attrs: dict[str, Any] | None = None) -> LiveTrial:
        params = self._space.complete(trial.params)
        session = self._rows.session(trial, params)
        return LiveTrial(trial, params, make_runs(self._spec, trial.number, self._seed, session, user_attrs))

    def _record(
        self,
        live: LiveTrial,
        outcome: Outcome,
        numbers: Mapping[str, float],
        state: TrialStateName,
        reason: str,
    ) -> AttemptResult:
        """Tell Optuna of a trial.

        Args:
            live: the trial.
            outcome: of the whole of it.
            numbers: what it is judged by.
            state: its final one.
            reason: for people.
        """
        number, took = outcome.number, live.took
        own = (self._spec.metric.name, best_tag(self._spec.metric.name))
        metrics = {
            name: value
            for name, value in outcome.metrics.items()
            # With one attempt the reports say the same; with several they are a mixture.
            if math.isfinite(value) and (len(self._spec.goals) > 1 or not live.is_simple or name not in own)
        }
        if metrics or not live.is_simple:
            live.trial.set_user_attr(attributes.METRICS, metrics)
        if reason:
            live.trial.set_user_attr(attributes.REASON, reason)
        if not live.is_simple:  # Optuna's own times count from the first attempt on, with all downtime
            live.trial.set_user_attr(attributes.DURATION, round(took, 3))
        if state != "FAIL":
            for name, excess in self._ranking.excesses(numbers).items():
                live.trial.set_constraint(name, excess)
        values = self._ranking.values(numbers) if state == "COMPLETE" else None
        told = self._study.tell(live.trial, values, TrialState[state])
        self._pruning.ended(told)
        del self._live[number]
        self._is_unreported |= outcome.kind == "unreported"
        is_best = self._stats.add(told) and len(self._spec.goals) == 1  # of several each may have its own
        value = told.values[0] if told.values else None
        return AttemptResult(
            number,
            outcome.attempt,
            state,
            outcome.kind,
            value,
            reason,
            is_best,
            took,
            repeat=outcome.repeat,
            label=self._spec.run_labels[outcome.repeat],
            params=live.params,
        )

    def _sweep_seed(self) -> int:
        """The sweep file's seed, or one drawn once and kept with the study."""
        seed = attributes.stored_seed(self._spec, self._study)
        if seed is None:
            seed = secrets.randbits(32)
            self._study.set_user_attr(attributes.SEED, seed)
        return seed

    def _save_usage_sometimes(self) -> None:
        if time.monotonic() - self._usage_saved >= _SAVE_USAGE_EVERY:
            self._save_usage()

    def _save_usage(self) -> None:
        self._usage_saved = time.monotonic()
        self._study.set_user_attr(attributes.USAGE, self._meter.now().to_attribute())
