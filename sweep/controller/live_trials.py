"""`LiveTrials`: the trials of a running sweep that have no final state yet."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import optuna

from sweep.controller.hparams_writer import HParamsWriter
from sweep.controller.runs import LiveRun, LiveTrial, make_runs
from sweep.controller.usage import UsageMeter
from sweep.messages import RunningAttempt
from sweep.space import SearchSpace
from sweep.study import attributes
from sweep.sweepfile import SweepSpec


@dataclass(eq=False)
class LiveTrials:
    """Holds the live trials, and changes the state of their runs: waiting, running, finished.

    Args:
        spec: the sweep.
        space: its search space.
        seed: the sweep's seed.
        hparams: creates the trials' rows in TensorBoard.
        meter: measures how long attempts take.

    Attributes:
        trials: the live trials by number.
        waiting: the queue of their runs that wait for an attempt.
    """

    spec: SweepSpec
    space: SearchSpace
    seed: int
    hparams: HParamsWriter
    meter: UsageMeter
    trials: dict[int, LiveTrial] = field(default_factory=dict)
    waiting: deque[LiveRun] = field(default_factory=deque)

    def add(self, trial: optuna.Trial, user_attrs: Mapping[str, Any] | None = None) -> LiveTrial:
        """Sample those declared parameters of a trial that it does not have yet, and create its runs.

        Args:
            trial: Optuna's trial.
            user_attrs: its attributes, if it is not new.
        """
        params = self.space.suggest(trial)
        if not self.space.is_plain and attributes.PARAMS not in trial.user_attrs:
            trial.set_user_attr(attributes.PARAMS, params)
        if self.space.is_define_by_run:
            params = dict(trial.params)
        session = self.hparams.session(trial, params)
        runs = make_runs(self.spec, trial.number, self.seed, session, user_attrs)
        live = self.trials[trial.number] = LiveTrial(trial, params, runs)
        return live

    def of(self, run: LiveRun) -> LiveTrial:
        """The trial of a run."""
        return self.trials[run.number]

    def current(self, number: int, attempt: int, repeat: int) -> LiveRun | None:
        """The run of this attempt; None if this attempt is not the one that is running."""
        live = self.trials.get(number)
        run = live.runs[repeat] if live is not None else None
        return run if run is not None and run.state == "running" and run.attempt == attempt else None

    def start(self, run: LiveRun) -> None:
        """Start the next attempt of a run."""
        live = self.of(run)
        run.state = "running"
        run.attempt += 1
        run.last_report = None
        run.must_move = False
        run.published_steps.clear()
        now = time.time()
        run.session = replace(run.session, started=now)
        run.times.append((round(now, 3), None))
        is_recorded = run.attribute(attributes.ATTEMPTS) in live.trial.user_attrs
        if live.has_repeats or run.attempt > 1 or is_recorded:
            live.store(run, attributes.ATTEMPTS, run.attempt)
            live.store(run, attributes.TIMES, [*run.times])
        self.meter.start(run.key)

    def resume(self, run: LiveRun, attempt: RunningAttempt) -> None:
        """Continue an attempt that an earlier controller started."""
        started = attempt.started
        self.meter.start(run.key, time.time() - started)
        run.session = replace(run.session, started=started)
        run.times = run.times or [(round(started, 3), None)]
        run.must_move = attempt.must_move

    def wait(self, run: LiveRun) -> None:
        """Put a run into the queue, and store that its last attempt has ended."""
        self.of(run).store(run, attributes.ENDED, run.attempt)
        if run.times:
            self.of(run).store(run, attributes.TIMES, [*run.times])
        run.state = "waiting"
        self.waiting.append(run)

    def wait_after_loss(self, run: LiveRun) -> None:
        """Put a run into the queue whose attempt was lost with an earlier session.

        It ended when that session last stored its usage, or up to two seconds later.
        """
        created = self.of(run).trial.datetime_start
        if not run.times and run.attempt == 1 and created is not None:
            run.times.append((round(created.timestamp(), 3), None))
        if run.times:
            started, ended = run.times[-1]
            run.times[-1] = (started, max(started, self.meter.earlier_end) if ended is None else ended)
        self.wait(run)

    def undo_start(self, run: LiveRun) -> None:
        """Undo the start of an attempt that no worker executes."""
        self.meter.end(run.key)
        run.attempt -= 1
        del run.times[-1:]
        self.of(run).store(run, attributes.ATTEMPTS, run.attempt)
        self.wait(run)

    def end_attempt(self, run: LiveRun) -> float:
        """Stop measuring an attempt; returns its duration in seconds."""
        if run.times:
            run.times[-1] = (run.times[-1][0], round(time.time(), 3))
        return self.meter.end(run.key)
