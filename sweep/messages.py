"""The messages between the controller, the engine and the workers: frozen values that are cheap to send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:  # it imports tensorboardX and numpy
    from sweep.tracking.hparams import Session

RESERVED_PREFIX = "sweep:"
"""The prefix of trial attributes that the sweep sets itself; the objective must not use it."""

STOPPED_BY_USER = "stopped by the user"
"""The reason of a trial that `sweep stop --trial` has pruned."""


class Report(NamedTuple):
    """An intermediate value of the metric that trials report."""

    step: int
    value: float


class TrialAttribute(NamedTuple):
    """An attribute that an objective sets on its trial.

    Args:
        key: its name.
        value: its value, as plain JSON data.
        kind: `user`; `system`: Optuna's own helpers set it; `constraint`: the value of a constraint.
    """

    key: str
    value: Any
    kind: Literal["user", "system", "constraint"] = "user"


TrialMessage = Report | TrialAttribute
"""A message from a running trial."""


class ReportEvent(NamedTuple):
    """A report, with the trial, repeat and attempt that sent it."""

    number: int
    repeat: int
    attempt: int
    report: Report


@dataclass(frozen=True)
class Suggestion:
    """The answer to a define-by-run trial that asks for a parameter: its value, or why it has none."""

    value: Any = None
    problem: str = ""


@dataclass(frozen=True)
class Assignment:
    """An attempt of a trial, or of one of its repeats, for a worker to execute.

    Args:
        number: the trial's number, from 0.
        attempt: the number of the attempt, from 1.
        params: all parameters, constants included.
        session: the trial's row in TensorBoard's HParams tab.
        seed: the seed for all random number generators, below 2**32; the same for every attempt.
        repeat: the index of the repeat, from 0.
        label: the name of the repeat and of its directory; empty without repeats.
        gpu: the GPUs that it requires, or its share of one, if the sweep file does not say it.
        resumes_from: if several workers run the trial, the name of its latest checkpoint when the attempt
            begins; empty if there is none.
    """

    number: int
    attempt: int
    params: Mapping[str, Any]
    session: Session
    seed: int
    repeat: int = 0
    label: str = ""
    gpu: float | None = None
    resumes_from: str | None = None


class GpuUse(NamedTuple):
    """The GPU memory of an attempt, in bytes.

    Args:
        peak: the most that it used on one GPU; None if that is unknown.
        total: what that GPU has; 0 if that is unknown.
        is_exhausted: whether the attempt failed because there was not enough.
        share: the attempt's share of the GPU.
    """

    peak: int | None = None
    total: int = 0
    is_exhausted: bool = False
    share: float = 1.0


OutcomeKind = Literal[
    "returned",
    "pruned",
    "error",
    "unreported",
    "crash",
    "oom",
    "lost_node",
    "timeout",
    "stopped",
    "interrupted",
    "disk_full",
]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended, as seen by the worker or, if the worker died, by the engine.

    Args:
        number: the trial's number.
        attempt: the number of the attempt.
        kind: `returned`; `pruned`: the objective stopped early; `error`: it raised an exception;
            `unreported`: a script succeeded without reporting the metric; `crash`: its process died;
            `oom`: the machine or the GPU ran out of memory; `lost_node`: its machine was lost; `timeout`: it
            exceeded its time limit; `stopped`: stopped by the user, or because its trial was decided;
            `interrupted`: it stopped at a checkpoint because the sweep is being stopped, or its machine goes
            away; `disk_full`: it could not write.
        value: the value it returned for the metric, if any. Can be NaN.
        metrics: the last value of every metric that it logged.
        reports: the messages that have not been sent yet.
        reason: one line for the user: why it did not return.
        traceback: the complete text for `error.txt`.
        was_killed: whether the worker was killed, so that its files can be incomplete.
        repeat: the index of the repeat.
        notes: messages for the user.
        gpu: the GPU memory that it used; None if it has no GPU.
    """

    number: int
    attempt: int
    kind: OutcomeKind
    value: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    reports: tuple[TrialMessage, ...] = ()
    reason: str = ""
    traceback: str = ""
    was_killed: bool = False
    repeat: int = 0
    notes: tuple[str, ...] = ()
    gpu: GpuUse | None = None


TrialStateName = Literal["COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True)
class AttemptResult:
    """The controller's answer to an outcome: the trial's final state, or that another attempt follows.

    Args:
        number: the trial's number.
        attempt: the number of the attempt that ended.
        state: the trial's final state; None if it has none yet.
        kind: how the attempt ended.
        value: the value of the metric; for a pruned trial the last reported one, for a repeat its own.
        reason: why the trial failed.
        is_best: whether the trial is better than all trials before it.
        duration_s: the duration of the attempt in seconds; of a trial with repeats the sum of theirs.
        retry_in: the delay before the next attempt in seconds, if one follows.
        repeat: the index of the repeat.
        label: the name of the repeat; empty without repeats.
        is_repeat_finished: whether the repeat has finished, although other repeats of the trial have not.
        step: the last step that the trial reported in this attempt.
        params: the trial's parameters.
        notes: messages for the user that no earlier result had.
    """

    number: int
    attempt: int
    state: TrialStateName | None
    kind: OutcomeKind
    value: float | None = None
    reason: str = ""
    is_best: bool = False
    duration_s: float = 0.0
    retry_in: float = 0.0
    repeat: int = 0
    label: str = ""
    is_repeat_finished: bool = False
    step: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, outcome: Outcome, label: str, state: TrialStateName | None = None, **fields: Any
    ) -> AttemptResult:
        """The result of an attempt with this outcome."""
        return cls(
            outcome.number, outcome.attempt, state, outcome.kind, repeat=outcome.repeat, label=label, **fields
        )

    @property
    def will_retry(self) -> bool:
        """Whether another attempt follows."""
        return self.state is None and not self.is_repeat_finished


@dataclass(frozen=True)
class NextStep:
    """The controller's answer when a slot has become free.

    Args:
        result: the result of the attempt that the slot executed; None if there was none, or it is unknown.
        assignment: the next attempt; None if nothing can start.
        ask_again_in: seconds until an attempt can start, because a trial waits for its retry, or until to ask
            again, because its configuration is being sampled; None if none will start unless trials are
            enqueued.
        report_events: the reports since the last answer, if the observer wants them.
        gpu: with `gpu: auto`, the share of a GPU that attempts hold from now on.
    """

    result: AttemptResult | None
    assignment: Assignment | None
    ask_again_in: float | None = None
    report_events: tuple[ReportEvent, ...] = ()
    gpu: float | None = None


@dataclass(frozen=True)
class RunningAttempt:
    """An attempt that a worker executes.

    Args:
        number: the trial's number.
        attempt: the number of the attempt.
        started: when it was assigned, in seconds since the epoch.
        repeat: the index of the repeat.
        must_move: whether it has been told to stop at its next checkpoint, because its machine goes away.
    """

    number: int
    attempt: int
    started: float
    repeat: int = 0
    must_move: bool = False


@dataclass(frozen=True)
class RunningTrial:
    """A running trial, or one of its running repeats.

    Args:
        number: the trial's number.
        attempt: the number of the attempt.
        params: the trial's parameters.
        started: when the attempt started, in seconds since the epoch.
        last: its last report.
        repeat: the index of the repeat.
        label: the name of the repeat; empty without repeats.
        is_cancelled: whether it must be killed, because another repeat has failed the trial, or the user has
            stopped it.
    """

    number: int
    attempt: int
    params: Mapping[str, Any]
    started: float
    last: Report | None
    repeat: int = 0
    label: str = ""
    is_cancelled: bool = False


@dataclass(frozen=True)
class BestTrial:
    """The best complete trial so far.

    Args:
        number: the trial's number.
        value: its value of the metric; with several goals that of the first.
        params: its parameters.
        finished: when it finished, in seconds since the epoch, if that is known.
        values: with several goals, its value of each.
    """

    number: int
    value: float
    params: Mapping[str, Any]
    finished: float | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class CommonFailure:
    """A failure that the first trials of a run have in common.

    Args:
        reason: why the first of them failed.
        trial: the number of that trial.
    """

    reason: str
    trial: int


@dataclass(frozen=True)
class Progress:
    """The current state of a sweep.

    Args:
        counts: the number of trials that are complete, pruned, failed, running and waiting.
        total: the maximum number of trials; None if it is unbounded.
        best: the best trial.
        running: the running trials, each repeat separately.
        elapsed: how long the sweep has run, in seconds, without downtime.
        seconds_left: seconds until `stop.time` or `stop.hours` is reached; None without this rule.
        stopped_by: the stop rule that is reached, by its key in `stop`; also "grid", "metric" if trials
            never report it, or "same_failure" because of `common_failure`.
        common_failure: the failure that the first trials have in common. No trial is started until a running
            one shows that trials can succeed; without such a trial the sweep stops.
        is_metric_missing: whether a trial has ended without the metric, and no other one has reported it. No
            trial is started until a running one does; otherwise the sweep stops.
        report_events: the reports since the last call, if the observer wants them.
        slots: how many trials can run at once; 0 if that is unknown.
    """

    counts: Mapping[str, int]
    total: int | None
    best: BestTrial | None
    running: tuple[RunningTrial, ...]
    elapsed: float
    seconds_left: float | None
    stopped_by: str | None
    common_failure: CommonFailure | None = None
    is_metric_missing: bool = False
    report_events: tuple[ReportEvent, ...] = ()
    slots: int = 0

    @property
    def hold(self) -> str:
        """Why no trial is started while others run, for the user; empty if that is not so."""
        if self.is_metric_missing:
            why = "a trial has ended without reporting the metric"
        elif self.common_failure is not None:
            why = "the first trials have failed for the same reason"
        else:
            return ""
        return f"{why}; no trial is started until a running one shows that trials can succeed"

    @property
    def finished(self) -> int:
        """The number of trials with a final state."""
        return self.counts["complete"] + self.counts["pruned"] + self.counts["failed"]
