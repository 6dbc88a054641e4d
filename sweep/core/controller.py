"""The Controller: the one owner of a sweep's study, and of every decision about its trials."""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.core import study as attributes
from sweep.core.journal import Journal
from sweep.core.messages import (
    Assignment,
    BestTrial,
    Ending,
    Outcome,
    Progress,
    Report,
    RunningAttempt,
    RunningTrial,
    TrialStateName,
    Turn,
)
from sweep.core.pruners import make_pruner
from sweep.core.pruning import Pruning
from sweep.core.ranking import Ranking
from sweep.core.rerun import count_reruns, enqueue_reruns
from sweep.core.retry import RetryRules
from sweep.core.samplers import derive_seed, make_sampler
from sweep.core.stop import Standing, StopRules, in_order_of_ending
from sweep.core.study import create_or_load_study, open_url
from sweep.core.trialfiles import TrialFiles
from sweep.core.usage import Usage, UsageMeter
from sweep.directory import SweepDirectory
from sweep.errors import suggestion
from sweep.space import SearchSpace
from sweep.space.columns import cells, columns
from sweep.spec import SweepSpec
from sweep.tracking.hparams import Session, group_name
from sweep.tracking.root import declare_experiment
from sweep.tracking.run import best_tag

_SAVE_USAGE_EVERY = 2.0  # seconds
_STATES: dict[TrialState, TrialStateName] = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAIL: "FAIL",
}


@dataclass
class _Live:
    """A trial that has no final outcome yet. One `optuna.Trial` serves it throughout: joint sampling happens
    once per object."""

    trial: optuna.Trial
    params: dict[str, Any]
    attempt: int
    session: Session
    failures: int = 0
    """How many of its attempts count against its retries."""
    ready: float = 0.0
    """When its next attempt may begin, on the monotonic clock."""
    steps: set[int] = field(default_factory=set)
    """All steps reported so far, by any attempt."""
    last: Report | None = None
    """The last report of the current attempt."""


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
    """

    def __init__(self, spec: SweepSpec, directory: SweepDirectory, slots: int, run_id: str = "") -> None:
        self._spec = spec
        self._files = TrialFiles(directory, spec.judged.name)
        self._space = SearchSpace.of(spec)
        self._columns = columns(self._space)
        self._rules = StopRules(spec, self._space)
        self._retries = RetryRules(spec.trial)
        self._gives_way = False
        self._journal = Journal(directory.journal) if spec.storage is None else None
        storage = JournalStorage(self._journal) if self._journal is not None else open_url(str(spec.storage))
        self._study = create_or_load_study(spec, storage)
        self._seed = self._sweep_seed()
        trials = self._study.get_trials(deepcopy=False)
        replaces = run_id != "" and self._study.user_attrs.get(attributes.RUN) == run_id
        judged = spec.goals.index(spec.judged)
        self._pruning = Pruning(self._study, make_pruner(spec.pruner), judged)
        self._study.sampler = make_sampler(
            spec.sampler, self._space, self._seed, len(trials), len(spec.goals), judged
        )
        declare_experiment(
            directory.root,
            self._columns.values(),
            self._metric_tags(),
            f"{spec.name}: {spec.aim} of {spec.work}",
        )
        usage = Usage.from_attribute(self._study.user_attrs.get(attributes.USAGE))
        self._meter = UsageMeter(usage, slots)
        self._save_usage()
        self._ranking = Ranking(spec)
        self._standing = Standing(spec.metric)
        self._counts = Counter(trial.state for trial in trials if trial.state.is_finished())
        self._rerun = count_reruns(trials)
        self._enqueued = sum(trial.state == TrialState.WAITING for trial in trials)
        self._best: BestTrial | None = None
        for trial in in_order_of_ending(trials):
            if self._standing.add_trial(trial):
                params = self._space.complete(trial.params)
                self._best = BestTrial(trial.number, trial.values[0], params)
        self._told = {trial.number: trial for trial in trials if replaces and trial.state.is_finished()}
        """Outcomes that a dead controller recorded; its last answers may not have arrived."""
        self._live: dict[int, _Live] = {}
        self._sessions: dict[int, Session] = {}
        """Rows of finished trials whose outcome TensorBoard has not been told."""
        self._again: deque[int] = deque()
        """Numbers of live trials that wait for their next attempt."""
        self._announce_last(trials)
        with self._batch():
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    self._take_up(trial, runs_on=replaces)
            self._study.set_user_attr(attributes.RUN, run_id)

    # What an engine asks for.

    def report(self, number: int, attempt: int, reports: Iterable[Report]) -> None:
        """Keep intermediate values of a trial. A step that was reported before keeps its first value.

        Word from an attempt that is no longer the current one is ignored.
        """
        live = self._current(number, attempt)
        if live is not None:
            with self._batch():
                self._keep(live, reports)

    def should_prune(self, number: int, attempt: int, reports: Iterable[Report]) -> bool:
        """Keep `reports`, then say whether the pruner would stop the trial."""
        self.report(number, attempt, reports)
        live = self._current(number, attempt)
        if live is None or live.last is None:
            return False
        # Pruners look at the highest step: until an attempt has caught up with what an earlier one had
        # reported, they would judge that one.
        return live.last.step == max(live.steps) and self._pruning.should_prune(live.trial)

    def turn(self, outcome: Outcome | None) -> Turn:
        """A slot is free: record how its attempt ended, if it ran one, and give it the next.

        When this returns, a final outcome is durable.
        """
        with self._batch():
            ending = self._finish(outcome) if outcome is not None else None
            assignment = self._next()
        if outcome is not None and ending is not None:
            self._announce(ending, outcome)
        return Turn(ending, assignment, None if assignment is not None else self.ask_again_in())

    def next(self) -> Assignment | None:
        """The next attempt to run, or None if there is nothing to do (any more)."""
        return self.turn(None).assignment

    def finish(self, outcome: Outcome) -> Ending | None:
        """Record how an attempt ended, and hand out nothing new.

        Returns:
            None if it is not the trial's current attempt: then nothing was recorded.
        """
        with self._batch():
            ending = self._finish(outcome)
        if ending is not None:
            self._announce(ending, outcome)
        return ending

    def give_way(self) -> None:
        """The sweep is being stopped: hand out nothing new, and tell trials so at their checkpoints."""
        self._gives_way = True

    def saved(self, number: int, attempt: int, reports: Iterable[Report]) -> bool:
        """A trial has saved a checkpoint: keep `reports`, then say whether it has to end there."""
        self.report(number, attempt, reports)
        return self._gives_way

    def adopt(self, running: Iterable[RunningAttempt]) -> None:
        """Learn which attempts run on, after having taken a dead controller's place.

        Args:
            running: those whose outcomes have not been told, or not been answered. Attempts beside these were
                handed out by the dead controller, but nobody heard of them: they are handed out anew.
        """
        attempts = {known.number: known for known in running}
        for number, live in self._live.items():
            known = attempts.get(number)
            if number in self._again:
                continue
            if known is not None and known.attempt == live.attempt:
                self._meter.start(number, time.time() - known.started)
                live.session = replace(live.session, started=known.started)
            else:
                self._take_back(live, number)

    def give_back(self, number: int, attempt: int) -> None:
        """An attempt was handed out that nobody will run now: it is handed out anew later."""
        live = self._current(number, attempt)
        if live is not None:
            self._meter.end(number)
            with self._batch():
                self._take_back(live, number)

    def _take_back(self, live: _Live, number: int) -> None:
        live.attempt -= 1
        live.trial.set_user_attr(attributes.ATTEMPTS, live.attempt)
        live.trial.set_user_attr(attributes.ENDED, live.attempt)
        self._again.append(number)

    def abandon(self, number: int, reason: str) -> Ending | None:
        """A trial that waits for its next attempt is not to have one.

        Returns:
            None if it does not wait.
        """
        if number not in self._again:
            return None
        live = self._live[number]
        outcome = Outcome(number, live.attempt, "stopped", reason=reason, was_killed=True)
        with self._batch():
            self._again.remove(number)
            ending = self._record(live, self._files.recover(outcome), "PRUNED", reason, 0.0)
        self._announce(ending, outcome)
        return ending

    def rerun(self, numbers: Iterable[int]) -> list[int]:
        """Have failed trials run again, as new trials with the same parameters.

        Returns:
            those that will be; trials that have not failed, or are being run again already, will not.
        """
        with self._batch():
            chosen = enqueue_reruns(self._study, numbers)
        self._rerun += len(chosen)
        self._enqueued += len(chosen)
        return chosen

    def progress(self) -> Progress:
        """Where the sweep stands."""
        self._save_usage_sometimes()
        usage = self._meter.now()
        waiting = set(self._again)
        running = tuple(
            RunningTrial(number, live.attempt, live.params, live.session.started, live.last)
            for number, live in sorted(self._live.items())
            if number not in waiting
        )
        return Progress(
            counts={
                "complete": self._counts[TrialState.COMPLETE],
                "pruned": self._counts[TrialState.PRUNED],
                "failed": self._counts[TrialState.FAIL],
                "running": len(running),
                "waiting": len(waiting) + self._enqueued,
            },
            total=self._total,
            best=self._best,
            running=running,
            elapsed=usage.elapsed,
            seconds_left=self._rules.seconds_left(usage.elapsed),
            stopped_by=self.stopped_by(),
        )

    def stopped_by(self) -> str | None:
        """The stop rule that is reached, or None."""
        return self._rules.reached(self._standing, self._rerun, self._meter.now().elapsed)

    def close(self) -> Progress:
        """The session ends; live trials stay as they are, for the next one to run again."""
        self._save_usage()
        return self.progress()

    # How it keeps its books.

    @property
    def _finished(self) -> int:
        return sum(self._counts.values())

    @property
    def _total(self) -> int | None:
        """How many trials there will be; those that are run again are there twice."""
        return None if self._rules.total is None else self._rules.total + self._rerun

    def _next(self) -> Assignment | None:
        if self._gives_way or self.stopped_by() is not None:
            return None
        now = time.monotonic()
        for number in self._again:
            if self._live[number].ready <= now:
                self._again.remove(number)
                return self._assign(number)
        if self._total is not None and len(self._live) + self._finished >= self._total:
            return None
        trial = self._study.ask()
        self._sample(trial)
        if self._enqueued:  # Optuna gives those first
            self._enqueued -= 1
        self._live[trial.number] = self._make_live(trial, attempt=0)
        return self._assign(trial.number)

    def _sample(self, trial: optuna.Trial) -> None:
        params = self._space.suggest(trial)
        if not self._space.is_plain and attributes.PARAMS not in trial.user_attrs:
            trial.set_user_attr(attributes.PARAMS, params)

    def ask_again_in(self) -> float | None:
        """Seconds until there is something to hand out; None if there will not be, as far as is known."""
        if self._gives_way or self.stopped_by() is not None:
            return None
        if self._total is None or len(self._live) + self._finished < self._total:
            return 0.0
        if not self._again:
            return None
        return max(0.0, min(self._live[number].ready for number in self._again) - time.monotonic())

    def _finish(self, outcome: Outcome) -> Ending | None:
        live = self._current(outcome.number, outcome.attempt)
        if live is None:
            return self._tell_again(outcome)
        if outcome.was_killed:
            outcome = self._files.recover(outcome)
        self._keep(live, outcome.reports)
        took = self._meter.end(outcome.number)
        state, reason = self._judge(outcome)
        if state == "FAIL":
            self._files.write_error(outcome, reason)
            if self._retries.counts(outcome.kind):
                live.failures += 1
            if self._retries.allow(outcome.kind, live.failures) and self.stopped_by() is None:
                live.ready = time.monotonic() + self._retries.delay(live.failures)
                live.trial.set_user_attr(attributes.FAILURES, live.failures)
                return self._pause(live, outcome, reason, took)
        elif state is None:
            return self._pause(live, outcome, reason, took)
        return self._record(live, outcome, state, reason, took)

    def _tell_again(self, outcome: Outcome) -> Ending | None:
        trial = self._told.pop(outcome.number, None)
        if trial is None or trial.user_attrs.get(attributes.ATTEMPTS, 1) != outcome.attempt:
            return None
        is_best = self._best is not None and self._best.number == trial.number
        reason = trial.user_attrs.get(attributes.REASON, "")
        took = trial.user_attrs.get(attributes.DURATION)
        if took is None and trial.duration is not None:
            took = trial.duration.total_seconds()
        return Ending(
            trial.number,
            outcome.attempt,
            _STATES[trial.state],
            outcome.kind,
            trial.values[0] if trial.values else None,
            reason,
            is_best,
            took or 0.0,
        )

    def _pause(self, live: _Live, outcome: Outcome, reason: str, took: float) -> Ending:
        """The trial goes on later, with another attempt."""
        live.trial.set_user_attr(attributes.ENDED, outcome.attempt)
        self._again.append(outcome.number)
        again_in = max(0.0, live.ready - time.monotonic())
        return Ending(
            outcome.number,
            outcome.attempt,
            None,
            outcome.kind,
            reason=reason,
            duration=took,
            again_in=again_in,
        )

    def _keep(self, live: _Live, reports: Iterable[Report]) -> None:
        for report in reports:
            live.last = report
            if report.step not in live.steps:  # Optuna keeps the first value of a step
                live.steps.add(report.step)
                self._pruning.report(live.trial, report.step, report.value)

    def _batch(self) -> AbstractContextManager[None]:
        """What is written to the journal meanwhile is written together, at the end."""
        self._save_usage_sometimes()
        return self._journal.batch() if self._journal is not None else nullcontext()

    def _announce(self, ending: Ending, outcome: Outcome) -> None:
        """Tell TensorBoard an outcome, now that it is durable."""
        session = self._sessions.pop(ending.number, None)
        if session is not None:
            self._files.tell_end(ending.number, session, ending.state != "FAIL", not outcome.was_killed)

    def _announce_last(self, trials: list[FrozenTrial]) -> None:
        """Tell TensorBoard what a former session recorded but did not live to tell: its last outcome."""
        ended = {trial.datetime_complete: trial for trial in trials if trial.datetime_complete is not None}
        if ended:
            moment = max(ended)
            last = ended[moment]
            session = self._session(last.number, self._space.complete(last.params))
            success = last.state != TrialState.FAIL
            self._files.make_up_end(last.number, session, success, moment.timestamp())

    def _current(self, number: int, attempt: int) -> _Live | None:
        live = self._live.get(number)
        return live if live is not None and live.attempt == attempt and number not in self._again else None

    def _assign(self, number: int) -> Assignment:
        live = self._live[number]
        live.attempt += 1
        live.last = None
        live.session = replace(live.session, started=time.time())
        if live.attempt > 1 or attributes.ATTEMPTS in live.trial.user_attrs:
            live.trial.set_user_attr(attributes.ATTEMPTS, live.attempt)
        self._meter.start(number)
        return Assignment(
            number=number,
            attempt=live.attempt,
            params=live.params,
            session=live.session,
            seed=derive_seed(self._seed, "trial", number),
        )

    def _take_up(self, frozen: FrozenTrial, runs_on: bool) -> None:
        """A trial that a former session left without an outcome waits for its next attempt.

        Unless it runs on, because only the controller died.
        """
        trial = optuna.Trial(self._study, frozen._trial_id)
        self._sample(trial)  # if the session died meanwhile
        attempts = frozen.user_attrs.get(attributes.ATTEMPTS, 1)
        live = self._live[frozen.number] = self._make_live(trial, attempts)
        live.failures = frozen.user_attrs.get(attributes.FAILURES, 0)
        live.steps.update(frozen.intermediate_values)
        has_ended = frozen.user_attrs.get(attributes.ENDED) == attempts
        if runs_on and not has_ended:
            return
        if not has_ended:  # what its worker had written, but not lived to report
            self._keep(live, self._files.written_reports(frozen.number))
            trial.set_user_attr(attributes.ENDED, attempts)
        self._again.append(frozen.number)

    def _make_live(self, trial: optuna.Trial, attempt: int) -> _Live:
        params = self._space.complete(trial.params)
        return _Live(trial, params, attempt, self._session(trial.number, params))

    def _session(self, number: int, params: dict[str, Any]) -> Session:
        return Session(cells(self._columns, params), group_name(self._spec.name, number), time.time())

    def _record(
        self, live: _Live, outcome: Outcome, state: TrialStateName, reason: str, took: float
    ) -> Ending:
        number = outcome.number
        own = (self._spec.metric.name, best_tag(self._spec.metric.name))
        metrics = {
            name: value
            for name, value in outcome.metrics.items()
            # With one attempt the reports say the same; with several they are a mixture.
            if math.isfinite(value) and (len(self._spec.goals) > 1 or live.attempt > 1 or name not in own)
        }
        if metrics or live.attempt > 1:
            live.trial.set_user_attr(attributes.METRICS, metrics)
        if reason:
            live.trial.set_user_attr(attributes.REASON, reason)
        if live.attempt > 1:  # Optuna's own times count from the first attempt on, with all downtime
            live.trial.set_user_attr(attributes.DURATION, round(took, 3))
        numbers = self._numbers(outcome)
        if state != "FAIL":
            for name, excess in self._ranking.excesses(numbers).items():
                live.trial.set_constraint(name, excess)
        values = self._ranking.values(numbers) if state == "COMPLETE" else None
        told = self._study.tell(live.trial, values, TrialState[state])
        self._pruning.ended(told)
        self._sessions[number] = self._live.pop(number).session
        self._counts[TrialState[state]] += 1
        is_best = self._standing.add_trial(told)
        value = told.values[0] if told.values else None
        if is_best:
            self._best = BestTrial(number, told.values[0], live.params)
        return Ending(number, outcome.attempt, state, outcome.kind, value, reason, is_best, took)

    def _metric_tags(self) -> list[str]:
        """What TensorBoard shows beside the parameters: it ticks five. The metric itself stands first."""
        spec = self._spec
        others = [
            name for name in (*(goal.name for goal in spec.goals), *spec.limits) if name != spec.metric.name
        ]
        return list(dict.fromkeys([spec.metric.name, best_tag(spec.metric.name), *others]))

    def _numbers(self, outcome: Outcome) -> dict[str, float]:
        """The last value of everything an attempt logged or returned."""
        own = {} if outcome.value is None else {self._spec.metric.name: outcome.value}
        return {**outcome.metrics, **own}

    def _judge(self, outcome: Outcome) -> tuple[TrialStateName | None, str]:
        """What an attempt's end means for its trial (None: nothing), and why if it did not end well."""
        if outcome.kind in ("interrupted", "disk_full"):
            return None, outcome.reason
        if outcome.kind in ("pruned", "stopped"):
            return "PRUNED", outcome.reason
        if outcome.kind == "oom":
            return "FAIL", f"oom: {outcome.reason}"
        if outcome.kind != "returned":
            return "FAIL", outcome.reason
        if outcome.value is None or math.isnan(outcome.value):
            return "FAIL", "the metric is NaN"
        numbers = self._numbers(outcome)
        missing = self._ranking.missing(numbers)
        if missing is not None:
            what = "is NaN" if missing in numbers else f"was never logged; {suggestion(missing, numbers)}"
            return "FAIL", f"the metric {missing!r} {what}"
        return "COMPLETE", ""

    def _sweep_seed(self) -> int:
        """The sweep file's seed, or one drawn once and kept with the study."""
        if self._spec.sampler.seed is not None:
            return self._spec.sampler.seed
        if attributes.SEED not in self._study.user_attrs:
            self._study.set_user_attr(attributes.SEED, secrets.randbits(32))
        return int(self._study.user_attrs[attributes.SEED])

    def _save_usage_sometimes(self) -> None:
        if time.monotonic() - self._usage_saved >= _SAVE_USAGE_EVERY:
            self._save_usage()

    def _save_usage(self) -> None:
        self._usage_saved = time.monotonic()
        self._study.set_user_attr(attributes.USAGE, self._meter.now().to_attribute())
