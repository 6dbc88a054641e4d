"""Live trials (those without a final state) and their runs: one run per trial, or several repeats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial

from sweep.errors import InputError
from sweep.messages import AttemptResult, Outcome, Report, TrialStateName
from sweep.study import attributes
from sweep.study.seeds import derive_seed
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.repeats import Repeats
from sweep.tracking.hparams import Session

_REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "min": min,
    "max": max,
}


@dataclass(frozen=True)
class Decision:
    """A trial's final state, decided before all of its runs have finished.

    Args:
        state: the trial's state.
        reason: one line for the user.
        repeat: the repeat that decided it.
    """

    state: TrialStateName
    reason: str
    repeat: int = 0

    @property
    def kills_attempts(self) -> bool:
        """Whether attempts that are running are killed: the trial has failed, or the user has stopped it.

        A pruner gives no reason, and the attempts that it prunes can end by themselves.
        """
        return self.state == "FAIL" or self.reason != ""


@dataclass(eq=False)
class LiveRun:
    """The only run of a live trial, or one of its repeats.

    Attributes:
        number: the trial's number.
        repeat: the index of the repeat; 0 for the only run.
        label: the repeat's name; empty for the only run.
        seed: the seed of all attempts.
        session: its row in TensorBoard's HParams tab, or its part of the trial's row.
        state: whether it waits for an attempt, is running, or has finished. It is changed by `LiveTrials` and
            `LiveTrial`, and restored by `Recovery`.
        attempt: the number of attempts so far.
        failures: the number of attempts that count against the trial's retries.
        losses: how many attempts in a row lost their machine and reported no new step. It is not stored,
            because the next session can have other machines.
        gpu: its share of a GPU, if that is larger than other runs' because it ran out of memory.
        ready_at: when the next attempt can start, on the monotonic clock.
        steps: all steps reported so far, by any attempt.
        highest_step: the highest step reported so far; -1 if there is none.
        published_steps: the steps of the current attempt that were passed on as report events.
        last_report: the last report of the current attempt.
        must_move: whether the current attempt has to stop at its next checkpoint (`Controller.move`).
        value: the result, once it has finished and has one.
        metrics: the last value of every logged metric, once it has finished; None for NaN.
        constraints: the last value of every constraint that the objective has set, in any attempt: one that
            continues from a checkpoint may not set it again.
        duration_s: the duration of its last attempt, in seconds.
        times: the start and the end of each attempt, in seconds since the epoch; the end is None while it
            runs and if it is unknown.
    """

    number: int
    repeat: int
    label: str
    seed: int
    session: Session
    state: Literal["waiting", "running", "finished"] = "waiting"
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    gpu: float | None = None
    ready_at: float = 0.0
    steps: set[int] = field(default_factory=set)
    highest_step: int = -1
    published_steps: set[int] = field(default_factory=set)
    last_report: Report | None = None
    must_move: bool = False
    value: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    duration_s: float = 0.0
    times: list[tuple[float, float | None]] = field(default_factory=list)

    @property
    def key(self) -> tuple[int, int]:
        return self.number, self.repeat

    @property
    def last_attempt_seconds(self) -> float:
        """How long the last attempt took; 0 if there was none, or if that is unknown."""
        started, ended = self.times[-1] if self.times else (0.0, None)
        return 0.0 if ended is None else ended - started

    @property
    def has_caught_up(self) -> bool:
        """Whether the current attempt has reached the highest step of earlier attempts.

        Pruners look at the highest step of a trial, so until then they would see an earlier attempt.
        """
        return self.last_report is not None and self.last_report.step == self.highest_step

    def add_steps(self, steps: Iterable[int]) -> None:
        """Remember that these steps have been reported."""
        for step in steps:
            self.steps.add(step)
            if step > self.highest_step:
                self.highest_step, self.losses = step, 0

    def attribute(self, name: str) -> str:
        """The name under which the trial stores this attribute of the run."""
        return attribute(self.label, name)


def attribute(label: str, name: str) -> str:
    """The name under which a trial stores an attribute of its repeat with this label, or of its only run."""
    return f"{name}/{label}" if label else name


def attempts(user_attrs: Mapping[str, Any], label: str) -> int:
    """How many attempts of a run have started, from the attributes of its trial."""
    # The first attempt of a trial without repeats starts when the trial is created.
    return int(user_attrs.get(attribute(label, attributes.ATTEMPTS), 0 if label else 1))


def larger_share(user_attrs: Mapping[str, Any], label: str) -> float | None:
    """A run's share of a GPU, if that is larger than other runs', from the attributes of its trial."""
    return user_attrs.get(attribute(label, attributes.GPU))


def trial_seconds(trial: FrozenTrial) -> float | None:
    """How long a finished trial took in seconds: its last attempt, or those of all its repeats together."""
    duration = trial.duration.total_seconds() if trial.duration is not None else None
    return trial.user_attrs.get(attributes.DURATION, duration)


@dataclass(eq=False)
class LiveTrial:
    """A trial without a final state.

    It keeps one `optuna.Trial` for its whole life, because Optuna samples jointly once per object.

    Attributes:
        trial: Optuna's trial.
        params: all parameters, constants included.
        runs: its repeats in order, or its only run.
        decision: its final state, if that was decided before all runs finished.
        finished: Optuna's record of the trial, once it has its final state.
    """

    trial: optuna.Trial
    params: dict[str, Any]
    runs: list[LiveRun]
    decision: Decision | None = None
    finished: FrozenTrial | None = None

    @property
    def has_repeats(self) -> bool:
        return self.runs[0].label != ""

    @property
    def is_single_attempt(self) -> bool:
        """Whether it consists of one attempt, which Optuna's own record describes completely."""
        return not self.has_repeats and self.runs[0].attempt <= 1

    @property
    def is_running(self) -> bool:
        return any(run.state == "running" for run in self.runs)

    @property
    def is_finished(self) -> bool:
        return all(run.state == "finished" for run in self.runs)

    @property
    def duration_s(self) -> float:
        """The total duration of the last attempts of its runs, in seconds."""
        return sum(run.duration_s for run in self.runs)

    def store(self, run: LiveRun, name: str, value: Any) -> None:
        """Store an attribute of one of its runs in the study."""
        self.trial.set_user_attr(run.attribute(name), value)

    def decide(self, decision: Decision) -> None:
        """Set the final state, and store it if the trial cannot get it at once, or if a repeat decided it."""
        self.decision = decision
        if self.has_repeats or not self.is_finished:
            self.trial.set_user_attr(attributes.DECISION, asdict(decision))

    def finish_run(
        self, run: LiveRun, value: float | None, metrics: Mapping[str, float], duration_s: float
    ) -> None:
        """Finish a run. The result of a repeat is stored, so that it never runs again."""
        run.state, run.value, run.duration_s = "finished", value, duration_s
        run.metrics = {tag: None if math.isnan(last) else last for tag, last in metrics.items()}
        if self.has_repeats and run.attempt > 0:
            self.store(run, attributes.METRICS, run.metrics)
            self.store(run, attributes.DURATION, round(duration_s, 3))
            self.store(run, attributes.ENDED, run.attempt)
            self.trial.set_user_attr(attributes.REPEATS, [other.value for other in self.runs])

    def repeat_result(self, run: LiveRun, outcome: Outcome) -> AttemptResult:
        """The result of a finished repeat, while other repeats have not finished."""
        return AttemptResult.of(
            outcome,
            run.label,
            value=run.value,
            reason=outcome.reason,
            duration_s=run.duration_s,
            is_repeat_finished=True,
        )

    def value(self, reduce: str) -> float | None:
        """The values of its repeats, reduced to one; None if a repeat has no value."""
        values = [run.value for run in self.runs if run.value is not None]
        return _REDUCTIONS[reduce](values) if len(values) == len(self.runs) else None

    def metrics(self, reduce: str) -> dict[str, float]:
        """Every metric that its repeats logged, reduced to one value, unless it is NaN in a repeat."""
        return _reduce(reduce, [run.metrics for run in self.runs])

    def constraints(self, reduce: str) -> dict[str, float]:
        """Every constraint that its runs have set, reduced to one value."""
        reduced = _reduce(reduce, [run.constraints for run in self.runs])
        # The mean of +inf and -inf: Optuna has no NaN here, and a repeat violates the constraint.
        return {name: math.inf if math.isnan(value) else value for name, value in reduced.items()}


def _reduce(reduce: str, runs: Iterable[Mapping[str, float | None]]) -> dict[str, float]:
    """The values of each name in any of the runs, reduced to one, unless one of them is None."""
    values_by_name: dict[str, list[float | None]] = {}
    for run in runs:
        for name, value in run.items():
            values_by_name.setdefault(name, []).append(value)
    return {
        name: _REDUCTIONS[reduce]([value for value in values if value is not None])
        for name, values in values_by_name.items()
        if None not in values
    }


def make_runs(
    spec: SweepSpec,
    number: int,
    sweep_seed: int,
    session: Session,
    user_attrs: Mapping[str, Any] | None = None,
) -> list[LiveRun]:
    """Create the runs of a trial.

    Args:
        spec: the sweep.
        number: the trial's number.
        sweep_seed: the seed from which the seeds of the runs are derived.
        session: the trial's row in TensorBoard.
        user_attrs: the trial's attributes, if it is not new.
    """
    runs = []
    for repeat, label in enumerate(spec.run_labels):
        run = LiveRun(number, repeat, label, _seed(spec.repeats, sweep_seed, number, repeat), session)
        if user_attrs is not None:
            run.attempt = attempts(user_attrs, label)
            run.failures = user_attrs.get(run.attribute(attributes.FAILURES), 0)
            run.gpu = larger_share(user_attrs, label)
            run.times = [tuple(times) for times in user_attrs.get(run.attribute(attributes.TIMES), [])]
        if user_attrs is not None and label:
            run.value = repeat_values(user_attrs, spec.repeats)[repeat]
            run.state = "waiting" if run.value is None else "finished"
            run.metrics = user_attrs.get(run.attribute(attributes.METRICS), {})
            run.duration_s = user_attrs.get(run.attribute(attributes.DURATION), 0.0)
        runs.append(run)
    return runs


def repeat_values(user_attrs: Mapping[str, Any], repeats: Repeats | None) -> list[float | None]:
    """The value of each repeat of a trial; None for repeats without a value (yet)."""
    if repeats is None:
        return []
    return list(user_attrs.get(attributes.REPEATS, [None] * len(repeats.labels)))


def find_repeat(spec: SweepSpec, text: str) -> int:
    """The index of a repeat, given as an index or a name: 1, seed-42.

    Raises:
        InputError: there is no such repeat.
    """
    labels = spec.run_labels
    if spec.repeats is None:
        raise InputError(f"--repeat {text}: {spec.name} has no repeats; leave it out")
    if text in labels:
        return labels.index(text)
    if text.isdecimal() and int(text) < len(labels):
        return int(text)
    raise InputError(f"--repeat {text}: no such repeat; write 0 to {len(labels) - 1}, or {', '.join(labels)}")


def _seed(repeats: Repeats | None, sweep_seed: int, number: int, repeat: int) -> int:
    explicit = repeats.explicit_seed(repeat) if repeats is not None else None
    if explicit is not None:
        return explicit
    # The first repeat has the seed that the trial would have without repeats.
    return derive_seed(sweep_seed, "trial", number, *([repeat] if repeat else []))
