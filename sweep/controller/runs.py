"""Trials that have no final outcome yet, and the runs they consist of: one, or several repeats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import optuna

from sweep.errors import InputError
from sweep.messages import AttemptResult, Outcome, Report, TrialStateName
from sweep.study import study as attributes
from sweep.study.samplers import derive_seed
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
    """How a trial ends although not all of its repeats have been seen to their ends.

    Args:
        state: the trial's.
        reason: for people.
        repeat: the one that decided it.
    """

    state: TrialStateName
    reason: str
    repeat: int = 0


@dataclass(eq=False)
class LiveRun:
    """A trial's only run, or one of its repeats, until the trial has a final outcome.

    It waits for its next attempt, is running, or is over.

    Attributes:
        number: of the trial.
        repeat: its index.
        label: its name; empty if it is the only one.
        seed: for all its attempts.
        session: its row in TensorBoard, or its part of one.
        attempt: how often it was executed so far.
        failures: how many of its attempts count against its retries.
        ready: when its next attempt may begin, on the monotonic clock.
        steps: all steps reported so far, by any attempt.
        highest: the highest of them; -1 without any.
        told: the steps of the current attempt whose reports have been handed on as report_events.
        last: the last report of the current attempt.
        value: its result, once it is over and has one.
        metrics: the last values of all it logged, once it is over; None for those that are NaN.
        took: how long its last attempt took, in seconds.
    """

    number: int
    repeat: int
    label: str
    seed: int
    session: Session
    attempt: int = 0
    failures: int = 0
    ready: float = 0.0
    steps: set[int] = field(default_factory=set)
    highest: int = -1
    told: set[int] = field(default_factory=set)
    last: Report | None = None
    is_running: bool = False
    is_over: bool = False
    value: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    took: float = 0.0

    @property
    def key(self) -> tuple[int, int]:
        return self.number, self.repeat

    @property
    def has_caught_up(self) -> bool:
        """Whether the current attempt has got as far as earlier ones.

        Pruners look at the highest step: until then they would judge an earlier attempt.
        """
        return self.last is not None and self.last.step == self.highest

    def add_steps(self, steps: Iterable[int]) -> None:
        """Something has been reported at these steps."""
        for step in steps:
            self.steps.add(step)
            self.highest = max(self.highest, step)

    def attribute(self, name: str) -> str:
        """The trial attribute that says this of the run."""
        return attribute(self.label, name)

    def attempt_result(self, outcome: Outcome) -> AttemptResult:
        """What is told of it when it is over, and its trial is not."""
        return AttemptResult(
            self.number,
            outcome.attempt,
            None,
            outcome.kind,
            self.value,
            outcome.reason,
            duration_s=self.took,
            repeat=self.repeat,
            label=self.label,
            is_repeat_finished=True,
        )


def attribute(label: str, name: str) -> str:
    """The trial attribute `name` of a run; without repeats it is the trial's own."""
    return f"{name}/{label}" if label else name


def attempts(user_attrs: Mapping[str, Any], label: str) -> int:
    """How often a run of a trial was executed so far."""
    # A trial without repeats has begun as soon as there is one.
    return int(user_attrs.get(attribute(label, attributes.ATTEMPTS), 0 if label else 1))


@dataclass(eq=False)
class LiveTrial:
    """A trial that has no final outcome yet. One `optuna.Trial` serves it throughout: joint sampling happens
    once per object.

    Attributes:
        trial: Optuna's.
        params: all its parameters, constants included.
        runs: its repeats in their order, or its only run.
        decision: how it ends, if that is clear before all its runs are over.
    """

    trial: optuna.Trial
    params: dict[str, Any]
    runs: list[LiveRun]
    decision: Decision | None = None

    @property
    def has_repeats(self) -> bool:
        return self.runs[0].label != ""

    @property
    def attempt(self) -> int:
        """The attempts of that run which had the most."""
        return max(run.attempt for run in self.runs)

    @property
    def is_simple(self) -> bool:
        """Whether it is one attempt, so that Optuna's own record says all there is to say about it."""
        return not self.has_repeats and self.attempt <= 1

    @property
    def is_over(self) -> bool:
        return all(run.is_over for run in self.runs)

    @property
    def is_running(self) -> bool:
        return any(run.is_running for run in self.runs)

    @property
    def is_waiting(self) -> bool:
        """Whether some of its runs were not begun, or wait for another attempt."""
        return any(not run.is_running and not run.is_over for run in self.runs)

    @property
    def took(self) -> float:
        """The time that the last attempts of its runs took, in seconds."""
        return sum(run.took for run in self.runs)

    def decide(self, decision: Decision) -> None:
        """It is clear how it ends, even if the controller dies now."""
        self.decision = decision
        if self.has_repeats:
            self.trial.set_user_attr(attributes.DECISION, asdict(decision))

    def end_run(self, run: LiveRun, value: float | None, metrics: Mapping[str, float], took: float) -> None:
        """A run is over. If it is a repeat this is kept: it will not be run again, whatever happens."""
        run.is_running, run.is_over = False, True
        run.value, run.took = value, took
        run.metrics = {tag: None if math.isnan(last) else last for tag, last in metrics.items()}
        if self.has_repeats and run.attempt > 0:
            note = self.trial.set_user_attr
            note(run.attribute(attributes.METRICS), run.metrics)
            note(run.attribute(attributes.DURATION), round(took, 3))
            note(run.attribute(attributes.ENDED), run.attempt)
            note(attributes.REPEATS, [each.value for each in self.runs])

    def outcome(self, last: Outcome, repeats: Repeats | None) -> Outcome:
        """How the whole trial ended.

        Args:
            last: how its last run ended.
            repeats: how the runs' values become the trial's.
        """
        if repeats is None:
            return last
        values = [run.value for run in self.runs if run.value is not None]
        return Outcome(
            last.number,
            last.attempt,
            last.kind,
            value=_REDUCTIONS[repeats.reduce](values) if len(values) == len(self.runs) else None,
            metrics=self.metrics("mean"),  # as in the trial's row in TensorBoard
            was_killed=last.was_killed,
            repeat=last.repeat,
        )

    def metrics(self, reduce: str) -> dict[str, float]:
        """One value of everything its repeats have logged.

        Args:
            reduce: how to make it of those of the repeats that have it. If one of them is NaN there is none.
        """
        found: dict[str, list[float | None]] = {}
        for run in self.runs:
            for tag, last in run.metrics.items():
                found.setdefault(tag, []).append(last)
        return {
            tag: _REDUCTIONS[reduce]([value for value in values if value is not None])
            for tag, values in found.items()
            if None not in values
        }


def make_runs(
    spec: SweepSpec,
    number: int,
    sweep_seed: int,
    session: Session,
    user_attrs: Mapping[str, Any] | None = None,
) -> list[LiveRun]:
    """The runs of a trial.

    Args:
        spec: the sweep.
        number: of the trial.
        sweep_seed: what their seeds are derived from.
        session: the trial's row.
        user_attrs: the trial's, if it is not new.
    """
    runs = []
    for repeat, label in enumerate(spec.run_labels):
        run = LiveRun(number, repeat, label, _seed(spec.repeats, sweep_seed, number, repeat), session)
        if user_attrs is not None:
            run.attempt = attempts(user_attrs, label)
            run.failures = user_attrs.get(run.attribute(attributes.FAILURES), 0)
        if user_attrs is not None and label:
            run.value = repeat_values(user_attrs, spec.repeats)[repeat]
            run.is_over = run.value is not None
            run.metrics = user_attrs.get(run.attribute(attributes.METRICS), {})
            run.took = user_attrs.get(run.attribute(attributes.DURATION), 0.0)
        runs.append(run)
    return runs


def repeat_values(user_attrs: Mapping[str, Any], repeats: Repeats | None) -> list[float | None]:
    """The value of each repeat of a trial, None for those that have none (yet)."""
    if repeats is None:
        return []
    return list(user_attrs.get(attributes.REPEATS, [None] * len(repeats.labels)))


def find_repeat(spec: SweepSpec, text: str) -> int:
    """The index of a repeat, given as such or by its name: 1, seed-42.

    Raises:
        InputError: there is none.
    """
    labels = spec.run_labels
    if spec.repeats is None:
        raise InputError(f"--repeat {text}: {spec.name} has no repeats; leave it out")
    if text in labels:
        return labels.index(text)
    if text.isdecimal() and int(text) < len(labels):
        return int(text)
    raise InputError(f"--repeat {text}: there is none; it is 0 to {len(labels) - 1}, or {', '.join(labels)}")


def _seed(repeats: Repeats | None, sweep_seed: int, number: int, repeat: int) -> int:
    explicit = repeats.explicit_seed(repeat) if repeats is not None else None
    if explicit is not None:
        return explicit
    # The first one has the seed that the trial would have without repeats.
    return derive_seed(sweep_seed, "trial", number, *([repeat] if repeat else []))
