"""When the attempts of a sweep ran, and on which slots."""

from __future__ import annotations

import time
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from sweep.analysis.timeline import Span, timeline
from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.messages import Assignment, Outcome
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import SweepLock

OLD_RUNS = Path(__file__).parent.parent / "data" / "sweep-0.1.0" / "runs"


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": {"type": "random", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "stop": {"trials": 4},
            **keys,
        }
    )


def start(directory: SweepDirectory, slots: int, **keys: Any) -> Controller:
    spec = make_spec(**keys)
    directory.spec.write_text(spec.to_yaml())
    return Controller(spec, directory, slots)


def assigned(controller: Controller) -> Assignment:
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    return assignment


def finish(controller: Controller, assignment: Assignment, kind: Any = "returned") -> None:
    outcome = Outcome(assignment.number, assignment.attempt, kind, 0.5, repeat=assignment.repeat, reason="no")
    assert controller.finish(outcome) is not None


def overlap(a: Span, b: Span) -> bool:
    return min(a.end, b.end) - max(a.start, b.start) > 0.01


def test_attempts_that_ran_at_the_same_time_are_on_different_lanes(directory: SweepDirectory) -> None:
    began = time.time()
    controller = start(directory, slots=2)
    first, second = assigned(controller), assigned(controller)
    time.sleep(0.05)
    finish(controller, first)
    third = assigned(controller)
    time.sleep(0.05)
    finish(controller, second, "error")
    finish(controller, third, "pruned")
    spans = timeline(SweepView(directory))
    assert [(span.number, span.lane, span.state) for span in spans] == [
        (0, 0, "COMPLETE"),
        (1, 1, "FAIL"),
        (2, 0, "PRUNED"),
    ]
    assert began <= spans[0].start <= spans[0].end <= spans[1].end <= time.time()
    assert spans[1].seconds == pytest.approx(0.1, abs=0.09)


def test_a_running_trial_ends_now_and_an_interrupted_one_when_the_sweep_did(
    directory: SweepDirectory,
) -> None:
    controller = start(directory, slots=1)
    assigned(controller)
    time.sleep(0.05)
    with SweepLock(directory.lock, "demo"):
        (span,) = timeline(SweepView(directory))
        assert span.state == "RUNNING"
        assert span.end == pytest.approx(time.time(), abs=1)
    controller.close()
    time.sleep(0.2)
    (span,) = timeline(SweepView(directory))
    assert span.state == "WAITING"
    assert span.end == pytest.approx(SweepView(directory).usage.until)


def test_attempts_that_were_retried_are_on_the_timeline(directory: SweepDirectory) -> None:
    controller = start(directory, slots=1, trial={"retries": 2, "retry_on": ["error"]})
    for kind in ("error", "error", "returned"):
        attempt = assigned(controller)
        time.sleep(0.03)
        finish(controller, attempt, kind)
    spans = timeline(SweepView(directory))
    assert [(span.number, span.state) for span in spans] == [(0, "RETRIED"), (0, "RETRIED"), (0, "COMPLETE")]
    assert all(before.end <= after.start + 0.002 for before, after in pairwise(spans))
    assert all(0.02 < span.seconds < 5 for span in spans)


def test_the_time_between_two_sessions_belongs_to_no_attempt(directory: SweepDirectory) -> None:
    killed = start(directory, slots=1)
    assigned(killed)
    time.sleep(0.1)
    killed._meter.save()  # as every two seconds
    time.sleep(0.2)
    resumed = start(directory, slots=1)
    again = assigned(resumed)
    time.sleep(0.03)
    finish(resumed, again)
    lost, span = timeline(SweepView(directory))
    assert (lost.state, span.number, span.state) == ("RETRIED", 0, "COMPLETE")
    assert 0.05 < lost.seconds < 0.2
    assert span.start > lost.end + 0.15
    assert span.seconds < 0.2


@pytest.mark.parametrize("repeats", [None, 2])
def test_an_attempt_that_was_interrupted_stays_on_the_timeline_when_the_sweep_has_resumed(
    directory: SweepDirectory, repeats: int | None
) -> None:
    for _ in range(2):
        session = start(directory, slots=1, repeats=repeats)
        assigned(session)
        time.sleep(0.05)
        session.close()
    spans = timeline(SweepView(directory))
    assert [(span.number, span.state) for span in spans] == [(0, "RETRIED"), (0, "WAITING")]
    assert all(0.02 < span.seconds < 1 for span in spans)


def test_repeats_have_their_own_spans(directory: SweepDirectory) -> None:
    controller = start(directory, slots=2, repeats=3)
    first, second = assigned(controller), assigned(controller)
    time.sleep(0.03)
    finish(controller, first)
    third = assigned(controller)
    with SweepLock(directory.lock, "demo"):
        states = {span.label: span.state for span in timeline(SweepView(directory))}
    assert states == {"seed-0": "COMPLETE", "seed-1": "RUNNING", "seed-2": "RUNNING"}
    finish(controller, second)
    time.sleep(0.03)
    finish(controller, third)
    spans = timeline(SweepView(directory))
    assert [(span.label, span.lane) for span in spans] == [("seed-0", 0), ("seed-1", 1), ("seed-2", 0)]
    assert {span.state for span in spans} == {"COMPLETE"}
    controller.close()
    assert timeline(SweepView(directory)) == spans, "the snapshot has what the journal has"


@pytest.mark.parametrize("name", sorted(path.name for path in OLD_RUNS.iterdir()))
def test_sweeps_of_an_earlier_version_have_a_timeline(name: str) -> None:
    view = SweepView(SweepDirectory(OLD_RUNS / name))
    spans = timeline(view)
    finished = {trial.number for trial in view.frozen_trials if trial.state.is_finished()}
    assert finished <= {span.number for span in spans}
    assert all(span.end >= span.start for span in spans)
    assert not any(overlap(a, b) for a, b in combinations(spans, 2) if a.lane == b.lane)


def test_a_sweep_without_trials_has_an_empty_timeline(directory: SweepDirectory) -> None:
    directory.spec.write_text(make_spec().to_yaml())
    assert timeline(SweepView(directory)) == []
