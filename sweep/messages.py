"""What passes between the controller, the engine and the workers: frozen values, cheap to send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from sweep.tracking.hparams import Session

OURS = "sweep:"
"""What the names of a trial's attributes begin with that are not the objective's own."""


class Report(NamedTuple):
    """An intermediate value of the metric."""

    step: int
    value: float


class Note(NamedTuple):
    """What an objective says of its trial besides the metric: an attribute, or how far it is from a limit."""

    key: str
    value: Any
    is_constraint: bool = False


TrialMessage = Report | Note
"""What a trial says on its way."""


class ReportEvent(NamedTuple):
    """A report, and of which trial, repeat and attempt it is."""

    number: int
    repeat: int
    attempt: int
    report: Report


@dataclass(frozen=True)
class Suggestion:
    """The answer to a trial that asks for a parameter: its value, or why there is none."""

    value: Any = None
    problem: str = ""


@dataclass(frozen=True)
class Assignment:
    """One attempt of a trial, or of one of its repeats, for a worker to run.

    Args:
        number: the trial's number, from 0.
        attempt: which execution of the trial it is, from 1.
        params: all its parameters, constants included.
        session: its row in the HParams tab.
        seed: for all random number generators, below 2**32; the same for every attempt.
        repeat: which of the trial's repeats it is, from 0.
        label: the repeat's name, which is that of its directory; empty without repeats.
    """

    number: int
    attempt: int
    params: Mapping[str, Any]
    session: Session
    seed: int
    repeat: int = 0
    label: str = ""


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
    """How an attempt ended, as the worker (or, if that died, the supervisor) saw it.

    Args:
        number: of the trial.
        attempt: of the trial.
        kind: `returned`; `pruned`: stopped early by its own wish; `error`: it raised; `unreported`:
            a script that did its work never said what its metric is; `crash`: its process
            died; `oom`: it ran out of memory, the machine's or the GPU's; `lost_node`: its machine died;
            `timeout`: it overran its limit; `stopped`: somebody did not want to see its end; `interrupted`:
            it gave way at a checkpoint because the sweep is being stopped; `disk_full`: it could not write.
        value: what it returned for the metric, if anything. May be NaN.
        metrics: the last value of everything it logged.
        reports: those which have not been sent yet.
        reason: one line for people why it did not return.
        traceback: the whole story, for `error.txt`.
        was_killed: whether the worker could not see the attempt through to the end: what it wrote may be cut
            off in the middle.
        repeat: of the trial.
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


TrialStateName = Literal["COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True)
class AttemptResult:
    """A trial's final outcome, or that of an attempt which does not end the trial (`state` is None then).

    Args:
        number: of the trial.
        attempt: the attempt that ended.
        state: Optuna's.
        value: of the metric; for a pruned trial its last reported one, for a repeat its own.
        kind: how the attempt ended.
        reason: why it failed.
        is_best: whether no trial before it was as good.
        duration_s: of the attempt, in seconds; for a trial with repeats the sum of theirs.
        again_in: seconds until the trial may go on, if it does.
        repeat: of the trial.
        label: the repeat's name; empty without repeats.
        is_over: whether the repeat has come to its end, although other repeats of the trial have not.
        params: the trial's.
    """

    number: int
    attempt: int
    state: TrialStateName | None
    kind: OutcomeKind
    value: float | None = None
    reason: str = ""
    is_best: bool = False
    duration_s: float = 0.0
    again_in: float = 0.0
    repeat: int = 0
    label: str = ""
    is_over: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def will_run_again(self) -> bool:
        """Whether another attempt follows."""
        return self.state is None and not self.is_over


@dataclass(frozen=True)
class NextStep:
    """The controller's answer when a slot has become free.

    Args:
        result: what became of the attempt that the slot ran; None if there was none, or if it is unknown.
        assignment: what to run next; None if there is nothing to do.
        ask_again_in: seconds after which there will be something to do, for a trial waits out its backoff;
            None if there will not, as far as is known.
        report_events: reports that nobody has been told of, if somebody wants to.
    """

    result: AttemptResult | None
    assignment: Assignment | None
    ask_again_in: float | None = None
    report_events: tuple[ReportEvent, ...] = ()


@dataclass(frozen=True)
class RunningAttempt:
    """An attempt that a worker has been given. `started` is in seconds since the epoch."""

    number: int
    attempt: int
    started: float
    repeat: int = 0


@dataclass(frozen=True)
class RunningTrial:
    """A trial that is being run, or one of its repeats.

    Args:
        number: of the trial.
        attempt: of the trial, or of the repeat.
        params: the trial's.
        started: in seconds since the epoch.
        last: its last report.
        repeat: of the trial.
        label: the repeat's name; empty without repeats.
        is_futile: whether its trial has failed meanwhile: it is to be ended.
    """

    number: int
    attempt: int
    params: Mapping[str, Any]
    started: float
    last: Report | None
    repeat: int = 0
    label: str = ""
    is_futile: bool = False


@dataclass(frozen=True)
class BestTrial:
    """The best complete trial so far."""

    number: int
    value: float
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands.

    Args:
        counts: trials by outcome: complete, pruned, failed, running, waiting.
        total: how many trials there will be, None if the stop rules do not say.
        best: the best trial.
        running: what runs now, each repeat by itself.
        elapsed: seconds the sweep has run, downtime not counted.
        seconds_left: until `stop.time` or `stop.hours` is reached, None without such a rule.
        stopped_by: the stop rule that is reached: "trials", "hours", "time", "target", "grid", or "metric" if
            trials never report it.
        report_events: reports that nobody has been told of, if somebody wants to.
    """

    counts: Mapping[str, int]
    total: int | None
    best: BestTrial | None
    running: tuple[RunningTrial, ...]
    elapsed: float
    seconds_left: float | None
    stopped_by: str | None
    report_events: tuple[ReportEvent, ...] = ()

    @property
    def finished(self) -> int:
        """Trials with a final outcome."""
        return self.counts["complete"] + self.counts["pruned"] + self.counts["failed"]
