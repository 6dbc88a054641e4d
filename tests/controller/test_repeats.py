"""Repeats of a configuration with different seeds, with a Controller, without Ray."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.controller.hparams_writer import HParamsWriter
from sweep.controller.reports import Reports
from sweep.messages import Assignment, AttemptResult, Outcome, Report, RunningAttempt
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.tracking.hparams import SESSION_END_TAG
from sweep.tracking.read import _events, has_ended
from sweep.tracking.run_logger import RunLogger
from sweep.tracking.tensorboardx import plugin_hparams_pb2


def make_spec(**keys: Any) -> SweepSpec:
    spec = {
        "name": "demo",
        "objective": "a.py:f",
        "metric": {"name": "loss", "goal": "minimize"},
        "sampler": {"type": "random", "seed": 1},
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
        "repeats": 3,
        "stop": {"trials": 2},
        **keys,
    }
    return SweepSpec.model_validate({key: value for key, value in spec.items() if value is not None})


def ended(assignment: Assignment, kind: Any, value: float | None = None, **more: Any) -> Outcome:
    return Outcome(
        assignment.number, assignment.attempt, kind, value, **{"repeat": assignment.repeat, **more}
    )


def returned(assignment: Assignment, value: float, **more: Any) -> Outcome:
    return ended(assignment, "returned", value, **{"metrics": {"loss": value, "best/loss": value}, **more})


def assigned(controller: Controller) -> Assignment:
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    return assignment


def finished(controller: Controller, outcome: Outcome) -> AttemptResult:
    result = controller.finish(outcome)
    assert result is not None
    return result


def key(assignment: Assignment) -> tuple[int, int, int]:
    return assignment.number, assignment.repeat, assignment.attempt


def running(assignment: Assignment) -> RunningAttempt:
    return RunningAttempt(assignment.number, assignment.attempt, time.time(), assignment.repeat)


def asks(controller: Controller, assignment: Assignment, *reports: Report) -> bool:
    return controller.should_prune(assignment.number, assignment.attempt, reports, assignment.repeat)


def view(spec: SweepSpec, directory: SweepDirectory) -> SweepView:
    directory.spec.write_text(spec.to_yaml())
    return SweepView(directory)


def begin(directory: SweepDirectory, assignment: Assignment, **scalars: float) -> RunLogger:
    """Write what a worker would write."""
    root = directory.trial(assignment.number, assignment.label).root
    run = RunLogger(root, assignment.session, "loss", maximize=False)
    run.add_scalars(scalars, 0)
    return run


def written_success(directory: SweepDirectory, number: int, label: str) -> bool | None:
    """The end of a run that was written for TensorBoard; None if there is none."""
    found = []
    for _, _, event in _events(directory.trial(number, label).root):
        for value in event.summary.value:
            if value.tag == SESSION_END_TAG:
                data = plugin_hparams_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                found.append(data.session_end_info.status == 1)
    assert len(found) <= 1, "at most once"
    return found[0] if found else None


def test_the_repeats_of_a_trial_start_before_the_next_trial(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=9)
    found = [assigned(controller) for _ in range(6)]
    assert [key(a) for a in found] == [(n, r, 1) for n in range(2) for r in range(3)]
    assert [a.label for a in found[:3]] == ["seed-0", "seed-1", "seed-2"]
    assert controller.next_step(None).ask_again_in is None
    first = found[:3]
    assert all(a.params == first[0].params for a in first)
    assert len({a.session.group for a in first}) == 1
    assert first[0].session.group == "demo/t0000"
    assert first[0].session.cells.keys() == {"x"}, "the seed is not a parameter"
    assert len({a.seed for a in found}) == 6
    progress = controller.progress()
    assert (progress.counts["running"], progress.counts["waiting"], len(progress.running)) == (2, 0, 6)


def test_the_first_repeat_has_the_seed_of_the_same_trial_without_repeats(tmp_path: Path) -> None:
    seeds = []
    for repeats in (None, 3, {"seeds": 5}):
        root = tmp_path / str(len(seeds))
        root.mkdir()
        controller = Controller(make_spec(repeats=repeats, stop={"trials": 1}), SweepDirectory(root), 9)
        found = []
        while (assignment := controller.next_step(None).assignment) is not None:
            found.append(assignment.seed)
        seeds.append(found)
    assert [len(found) for found in seeds] == [1, 3, 5]
    assert seeds[0] == seeds[1][:1]
    assert seeds[1] == seeds[2][:3]


def test_seeds_can_be_given(directory: SweepDirectory) -> None:
    spec = make_spec(repeats={"seeds": [42, 7, 2**32 - 1]})
    assert SweepSpec.model_validate(spec.model_dump(mode="json")) == spec
    controller = Controller(spec, directory, slots=9)
    found = [assigned(controller) for _ in range(6)]
    assert [a.seed for a in found] == [42, 7, 2**32 - 1] * 2
    assert [a.label for a in found[:2]] == ["seed-42", "seed-7"]
    assert directory.trial(0, "seed-42").root == directory.root / "trial-0000" / "seed-42"


def test_without_repeats_no_attributes_are_stored(directory: SweepDirectory) -> None:
    spec = make_spec(repeats=None, stop={"trials": 1})
    controller = Controller(spec, directory, slots=1)
    assignment = assigned(controller)
    assert (assignment.repeat, assignment.label) == (0, "")
    finished(controller, returned(assignment, 0.5))
    assert controller._study.trials[0].user_attrs == {}
    (row,) = view(spec, directory).rows()
    assert "repeats" not in row.to_dict()
    assert has_ended(directory.root / "trial-0000")


@pytest.mark.parametrize(("reduce", "value"), [("mean", 0.4), ("median", 0.3), ("min", 0.1), ("max", 0.8)])
def test_the_values_of_the_repeats_are_reduced_to_the_trials_value(
    directory: SweepDirectory, reduce: str, value: float
) -> None:
    spec = make_spec(repeats={"seeds": 3, "reduce": reduce}, stop={"trials": 1})
    controller = Controller(spec, directory, slots=3)
    endings = [
        finished(controller, returned(assigned(controller), v, metrics={"loss": v, "best/loss": v / 2}))
        for v in (0.1, 0.3, 0.8)
    ]
    assert [(e.state, e.value, e.is_repeat_finished) for e in endings[:2]] == [
        (None, 0.1, True),
        (None, 0.3, True),
    ]
    assert not endings[0].will_retry
    assert (endings[2].state, endings[2].value, endings[2].is_best) == (
        "COMPLETE",
        pytest.approx(value),
        True,
    )
    assert controller.progress().stopped_by == "trials"
    (row,) = view(spec, directory).rows()
    assert row.to_dict()["repeats"] == [0.1, 0.3, 0.8]
    assert (row.state, row.value, row.attempts) == ("COMPLETE", pytest.approx(value), 1)
    assert row.metrics == {"loss": pytest.approx(0.4), "best/loss": pytest.approx(0.2)}
    assert row.directory == directory.root / "trial-0000"


def test_metrics_are_averaged_over_repeats_unless_one_is_nan(
    directory: SweepDirectory,
) -> None:
    spec = make_spec(stop={"trials": 1})
    controller = Controller(spec, directory, slots=3)
    logged = [{"loss": 1.0, "some": 2.0}, {"loss": math.nan, "some": 4.0}, {"loss": 3.0}]
    for metrics in logged:
        finished(controller, returned(assigned(controller), 1.0, metrics=metrics))
    assert view(spec, directory).rows()[0].metrics == {"some": 3.0}


def test_infinite_values_that_cancel_fail_the_trial(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=3)
    for value in (math.inf, -math.inf, 1.0):
        result = finished(controller, returned(assigned(controller), value))
    assert (result.state, result.reason) == ("FAIL", "the metric 'loss' is NaN")


def test_each_repeat_has_its_own_attempts(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 1}, stop={"trials": 1})
    controller = Controller(spec, directory, slots=3)
    first, second, third = (assigned(controller) for _ in range(3))
    for run in (first, second):
        result = finished(controller, ended(run, "crash", reason="killed"))
        assert result.will_retry
        assert (result.repeat, result.label) == (run.repeat, run.label)
    assert controller.finish(returned(first, 99.0)) is None, "a message from an old attempt"
    again = assigned(controller), assigned(controller)
    assert [key(a) for a in again] == [(0, 0, 2), (0, 1, 2)]
    assert [a.seed for a in again] == [first.seed, second.seed]
    for run in (*again, third):
        result = finished(controller, returned(run, 0.5))
    assert result.state == "COMPLETE"
    assert view(spec, directory).rows()[0].attempts == 2
    assert not directory.trial(0, "seed-1").error.exists(), "it has not failed"
    assert directory.trial(0, "seed-1").earlier_error.read_text() == "killed\n"
    assert not directory.trial(0, "seed-2").error.exists()


def test_a_repeat_without_retries_left_fails_the_trial_and_cancels_the_others(
    directory: SweepDirectory,
) -> None:
    spec = make_spec(repeats=5, trial={"retries": 0})
    controller = Controller(spec, directory, slots=3)
    done, failing, other = (assigned(controller) for _ in range(3))
    for run in (done, failing, other):
        begin(directory, run, loss=0.5).finish()
    finished(controller, returned(done, 0.5))
    assert not asks(controller, other, Report(0, 0.5))
    result = finished(controller, ended(failing, "error", reason="ValueError: no", metrics={"loss": 4.0}))
    assert (result.state, result.is_repeat_finished, result.reason) == (None, True, "ValueError: no")
    assert [(r.repeat, r.is_cancelled) for r in controller.progress().running] == [(2, True)]
    assert controller.progress().counts["failed"] == 0
    assert assigned(controller).number == 1, "waiting repeats do not start"
    assert asks(controller, other)
    assert controller.must_end(0, 1, [], other.repeat)
    result = finished(controller, ended(other, "interrupted", metrics={"loss": 3.0}))
    assert (result.state, result.reason) == ("FAIL", "seed-1: ValueError: no")
    found = view(spec, directory)
    row = found.rows()[0]
    assert (row.state, row.reason, row.value) == ("FAIL", "seed-1: ValueError: no", None)
    assert row.repeats == [0.5, None, None, None, None]
    assert row.metrics["loss"] == pytest.approx((0.5 + 4.0 + 3.0) / 3)
    assert found.error_file(0).read_text() == "ValueError: no\n"
    written = [written_success(directory, 0, f"seed-{repeat}") for repeat in range(3)]
    assert written == [True, False, False]
    assert not directory.trial(0, "seed-3").root.exists()


def test_a_waiting_repeat_finishes_with_the_trial(directory: SweepDirectory) -> None:
    spec = make_spec(repeats=2, trial={"retries": 1, "backoff": "1h", "retry_on": ["crash"]})
    controller = Controller(spec, directory, slots=2)
    waiting, failing = assigned(controller), assigned(controller)
    begin(directory, waiting, loss=1.0)
    begin(directory, failing, loss=3.0).finish()
    finished(controller, ended(waiting, "crash", reason="killed", was_killed=True))
    result = finished(controller, ended(failing, "error", reason="no", metrics={"loss": 3.0}))
    assert (result.state, result.reason) == ("FAIL", "seed-1: no")
    assert view(spec, directory).rows()[0].metrics["loss"] == 2.0, "TensorBoard counts it too"
    assert [written_success(directory, 0, f"seed-{n}") for n in range(2)] == [False, False]
    assert controller.next_step(None).assignment is not None


MEDIAN = {"type": "median", "startup_trials": 1}


def good_trial(controller: Controller, repeats: int = 3) -> None:
    """Run one whole trial; its first repeat reports 0.1 at step 0."""
    for repeat in range(repeats):
        run = assigned(controller)
        reports = (Report(0, 0.1 if repeat == 0 else 9.0),)
        finished(controller, returned(run, 0.1, reports=reports))


def test_the_pruner_looks_at_the_first_repeat_and_the_others_follow(directory: SweepDirectory) -> None:
    spec = make_spec(pruner=MEDIAN, repeats=4)
    controller = Controller(spec, directory, slots=3)
    good_trial(controller, 4)
    first, second, third = (assigned(controller) for _ in range(3))
    for run in (first, second, third):
        begin(directory, run, loss=0.9).finish()
    assert not asks(controller, second, Report(0, 99.0)), "only the first one is compared"
    assert asks(controller, first, Report(0, 0.9))
    assert asks(controller, first), "asked again, the answer is the same"
    assert controller.next_step(None).assignment is None, "waiting repeats do not start"
    assert asks(controller, second)
    assert (finished(controller, ended(first, "pruned")).state, asks(controller, third)) == (None, True)
    finished(controller, ended(second, "pruned"))
    result = finished(controller, returned(third, 0.0))  # it has not asked whether to prune
    assert (result.state, result.value) == ("PRUNED", 0.9)
    assert controller._study.trials[1].intermediate_values == {0: 0.9}
    assert [written_success(directory, 1, f"seed-{n}") for n in range(3)] == [True] * 3
    assert view(spec, directory).rows()[1].repeats == [None, None, 0.0, None]


def test_the_pruner_is_asked_when_the_first_repeat_finishes(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(pruner=MEDIAN), directory, slots=1)
    good_trial(controller)
    result = finished(controller, returned(assigned(controller), 0.9, reports=(Report(0, 0.9),)))
    assert (result.state, result.number) == ("PRUNED", 1)
    assert controller.progress().stopped_by == "trials"


def test_a_trial_is_complete_if_all_repeats_finish_whatever_the_pruner_says(
    directory: SweepDirectory,
) -> None:
    controller = Controller(make_spec(pruner=MEDIAN), directory, slots=3)
    good_trial(controller)
    runs = [assigned(controller) for _ in range(3)]
    for run in reversed(runs):
        result = finished(controller, returned(run, 0.9, reports=(Report(0, 0.9),)))
    assert result.state == "COMPLETE"


def test_a_repeat_that_prunes_itself_prunes_the_trial(directory: SweepDirectory) -> None:
    controller = Controller(make_spec(), directory, slots=3)
    runs = [assigned(controller) for _ in range(3)]
    assert finished(controller, ended(runs[2], "pruned")).state is None
    assert asks(controller, runs[0])
    finished(controller, ended(runs[0], "pruned"))
    assert finished(controller, ended(runs[1], "crash", reason="killed")).state == "PRUNED"


def test_wilcoxon_compares_the_results_of_the_repeats(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    spec = make_spec(repeats=8)
    monkeypatch.setattr(Reports, "_compares_results", property(lambda self: True))
    controller = Controller(spec, directory, slots=1)
    controller._study.pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    for repeat in range(8):
        run = assigned(controller)
        assert not asks(controller, run, Report(0, 5.0)), "reports do not count"
        result = finished(controller, returned(run, 0.1 + repeat / 100))
    assert result.state == "COMPLETE"
    assert controller._study.trials[0].intermediate_values == {
        repeat: 0.1 + repeat / 100 for repeat in range(8)
    }
    count = 0
    while result.number == 0 or result.state is None:
        run = assigned(controller)
        assert run.number == 1
        result = finished(controller, returned(run, 0.5 + count / 100))
        count += 1
    assert result.state == "PRUNED"
    assert 2 <= count < 8
    assert len(controller._study.trials[1].intermediate_values) == count


def test_after_a_kill_finished_repeats_stay_finished_and_the_others_continue(
    directory: SweepDirectory,
) -> None:
    spec = make_spec(repeats=4, stop={"trials": 1})
    killed = Controller(spec, directory, slots=3)
    done, reporting, silent = (assigned(killed) for _ in range(3))
    begin(directory, done, loss=0.25).finish()
    begin(directory, reporting, loss=0.75)
    finished(killed, returned(done, 0.25))
    assert view(spec, directory).rows()[0].repeats == [0.25, None, None, None]

    resumed = Controller(spec, directory, slots=3)
    assert resumed.progress().counts["waiting"] == 1
    again = [assigned(resumed) for _ in range(3)]
    assert [key(a) for a in again] == [(0, 1, 2), (0, 2, 2), (0, 3, 1)]
    assert [a.seed for a in again[:2]] == [reporting.seed, silent.seed]
    assert resumed.next_step(None).assignment is None
    assert resumed.finish(returned(done, 99.0)) is None
    for run in again:
        result = finished(resumed, returned(run, 0.75, metrics={"loss": 0.75}))
    assert (result.state, result.value) == ("COMPLETE", 0.625)
    row = view(spec, directory).rows()[0]
    assert row.repeats == [0.25, 0.75, 0.75, 0.75]
    assert row.metrics["loss"] == 0.625
    assert written_success(directory, 0, "seed-0")


def test_only_the_reports_of_the_first_repeat_are_stored_after_a_kill(
    directory: SweepDirectory,
) -> None:
    spec = make_spec()
    killed = Controller(spec, directory, slots=3)
    for run, value in ((assigned(killed), 0.5), (assigned(killed), 0.75)):
        begin(directory, run, loss=value)
    resumed = Controller(spec, directory, slots=3)
    assert resumed._study.trials[0].intermediate_values == {0: 0.5}
    again = assigned(resumed)
    assert not asks(resumed, again, Report(0, 0.4))
    assert resumed._study.trials[0].intermediate_values == {0: 0.5}


def test_a_decided_trial_gets_no_attempts_after_a_kill(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 0})
    killed = Controller(spec, directory, slots=2)
    failing, other = assigned(killed), assigned(killed)
    for run in (failing, other):
        begin(directory, run, loss=2.0)
    finished(killed, ended(failing, "crash", reason="killed", was_killed=True))
    resumed = Controller(spec, directory, slots=2)
    assert resumed.progress().counts["failed"] == 1
    row = view(spec, directory).rows()[0]
    assert (row.state, row.reason, row.metrics["loss"]) == ("FAIL", "seed-0: killed", 2.0)
    assert [written_success(directory, 0, f"seed-{n}") for n in range(2)] == [False, False]
    assert not directory.trial(0, "seed-2").root.exists()
    assert assigned(resumed).number == 1


def test_the_next_session_writes_ends_of_repeats_that_are_missing_in_tensorboard(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(repeats=2)
    killed = Controller(spec, directory, slots=4)
    runs = [assigned(killed) for _ in range(4)]
    for run in runs:
        begin(directory, run, loss=1.0).finish()
    with monkeypatch.context() as patch:
        patch.setattr(HParamsWriter, "write_ends", lambda *_: None)  # it dies before that
        for run in runs[:3]:
            finished(killed, returned(run, 1.0))
    assert not has_ended(directory.trial(0, "seed-0").root)
    Controller(spec, directory, slots=4)
    ending = [written_success(directory, run.number, run.label) for run in runs]
    assert ending == [True, True, True, None]


def test_repeats_run_on_when_a_controller_replaces_a_dead_one(directory: SweepDirectory) -> None:
    spec = make_spec(repeats=5, stop={"trials": 1})
    dead = Controller(spec, directory, slots=4, run_id="r")
    unheard, unanswered, known, ending = (assigned(dead) for _ in range(4))
    finished(dead, returned(unanswered, 0.5))  # the answer is lost
    new = Controller(spec, directory, slots=4, run_id="r")
    assert not asks(new, known, Report(0, 1.0))
    new.adopt([running(a) for a in (unanswered, known, ending)])
    again = new.next_step(returned(unanswered, 0.5))
    assert again.result is not None
    assert (again.result.repeat, again.result.is_repeat_finished, again.result.value) == (1, True, 0.5)
    assert new.finish(returned(unanswered, 0.5)) is None, "once"
    assert again.assignment is not None
    rest = [again.assignment, assigned(new)]
    assert [key(a) for a in rest] == [(0, 4, 1), (0, 0, 1)], "one was waiting, one had not reached a worker"
    assert rest[1].seed == unheard.seed
    for run in (known, ending, *rest):
        result = finished(new, returned(run, 1.0))
    assert (result.state, result.value) == ("COMPLETE", pytest.approx(0.9))
    # The last answer is lost, too.
    newest = Controller(spec, directory, slots=4, run_id="r")
    newest.adopt([running(rest[1])])
    repeated = newest.finish(returned(rest[1], 1.0))
    assert repeated is not None
    assert (repeated.state, repeated.value) == ("COMPLETE", pytest.approx(0.9))
    assert newest.finish(returned(rest[1], 1.0)) is None


def test_a_decision_survives_the_controller(directory: SweepDirectory) -> None:
    spec = make_spec(pruner=MEDIAN)
    dead = Controller(spec, directory, slots=3, run_id="r")
    good_trial(dead)
    first, second = assigned(dead), assigned(dead)
    assert asks(dead, first, Report(0, 0.9))
    new = Controller(spec, directory, slots=3, run_id="r")
    new.adopt([running(first), running(second)])
    assert asks(new, second)
    assert new.next_step(None).assignment is None
    finished(new, ended(first, "pruned"))
    assert finished(new, ended(second, "pruned")).state == "PRUNED"


def test_a_decision_holds_if_no_worker_executes_the_last_run(directory: SweepDirectory) -> None:
    spec = make_spec(trial={"retries": 0}, stop={"trials": 1})
    dead = Controller(spec, directory, slots=3, run_id="r")
    first, _ = assigned(dead), assigned(dead)
    finished(dead, ended(first, "error", reason="no"))
    new = Controller(spec, directory, slots=3, run_id="r")
    assert new.progress().counts["running"] == 1
    new.adopt([])
    assert new.progress().counts["failed"] == 1
    assert new.next_step(None).assignment is None


def test_a_returned_repeat_does_not_count_as_an_attempt(directory: SweepDirectory) -> None:
    spec = make_spec(stop={"trials": 1})
    controller = Controller(spec, directory, slots=3)
    first, second, third = (assigned(controller) for _ in range(3))
    controller.return_assignment(0, second.attempt, second.repeat)
    controller.return_assignment(0, second.attempt, second.repeat)
    finished(controller, returned(first, 1.0))
    finished(controller, ended(third, "interrupted"))
    resumed = Controller(spec, directory, slots=3)
    again = [assigned(resumed), assigned(resumed)]
    assert [key(a) for a in again] == [(0, 1, 1), (0, 2, 2)]


def test_a_stopped_trial_starts_no_repeat_and_ends_the_running_ones(
    directory: SweepDirectory,
) -> None:
    spec = make_spec(stop={"trials": 1})
    controller = Controller(spec, directory, slots=3)
    first, second = assigned(controller), assigned(controller)
    finished(controller, returned(first, 1.0))
    assert controller.stop_trial(0, "stopped by hand") is None, "one is running"
    assert controller.stop_trial(0, "stopped by hand") is None
    assert controller.next_step(None).assignment is None
    result = finished(controller, ended(second, "stopped", reason="stopped by hand", was_killed=True))
    assert (result.state, result.reason) == ("PRUNED", "stopped by hand")
    assert view(spec, directory).rows()[0].reason == "stopped by hand"


def test_a_trial_without_running_repeats_can_be_stopped(directory: SweepDirectory) -> None:
    spec = make_spec(stop={"trials": 1})
    controller = Controller(spec, directory, slots=1)
    first = assigned(controller)
    begin(directory, first, loss=1.0).finish()
    finished(controller, returned(first, 1.0))
    result = controller.stop_trial(0, "stopped by hand")
    assert result is not None
    assert (result.state, result.reason) == ("PRUNED", "stopped by hand")
    row = view(spec, directory).rows()[0]
    assert (row.repeats, row.metrics["loss"]) == ([1.0, None, None], 1.0)
    assert written_success(directory, 0, "seed-0")


def test_no_repeat_starts_after_the_target_is_reached(directory: SweepDirectory) -> None:
    spec = make_spec(repeats=2, stop={"target": 0.2, "trials": 9})
    controller = Controller(spec, directory, slots=2)
    runs = [assigned(controller) for _ in range(3)]
    finished(controller, returned(runs[0], 0.1))
    assert controller.progress().stopped_by is None, "one lucky seed is not enough"
    finished(controller, returned(runs[1], 0.2))
    assert controller.progress().stopped_by == "target"
    assert controller.next_step(None).assignment is None
    assert finished(controller, returned(runs[2], 0.5)).state is None


def test_a_resubmitted_trial_has_all_repeats(directory: SweepDirectory) -> None:
    spec = make_spec(repeats=2, stop={"trials": 1}, trial={"retries": 0})
    controller = Controller(spec, directory, slots=1)
    result = finished(controller, ended(assigned(controller), "error", reason="no"))
    assert result.state == "FAIL"
    assert controller.resubmit([0]) == [0]
    again = [assigned(controller), assigned(controller)]
    assert [key(a) for a in again] == [(1, 0, 1), (1, 1, 1)]
    for run in again:
        finished(controller, returned(run, 1.0))
    rows = view(spec, directory).rows()
    assert [(row.state, row.retry_of, row.repeats) for row in rows] == [
        ("FAIL", None, [None, None]),
        ("COMPLETE", 0, [1.0, 1.0]),
    ]


def test_the_outcome_of_a_repeat_is_on_the_disk_when_it_is_answered(
    directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = Controller(make_spec(), directory, slots=3)
    run, other = assigned(controller), assigned(controller)
    synced = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(directory.journal.read_text()))
    controller.report(0, 1, [Report(0, 1.0)], other.repeat)
    assert not synced
    finished(controller, returned(run, 0.125))
    assert "0.125" in synced[0]


@pytest.mark.parametrize("storage", [None, "sqlite:///{folder}/study.db"])
def test_any_optuna_storage_works(directory: SweepDirectory, storage: str | None) -> None:
    spec = make_spec(storage=storage.format(folder=directory.root) if storage else None)
    for _ in range(3):  # killed twice
        controller = Controller(spec, directory, slots=2)
        for _ in range(2):
            finished(controller, returned(assigned(controller), 1.0))
        controller.next_step(None)
    found = view(spec, directory)
    assert found.counts["complete"] == 2
    assert json.dumps(found.rows()[0].to_dict()["repeats"]) == "[1.0, 1.0, 1.0]"


TWO_GOALS = {
    "metric": None,
    "metrics": [{"name": "loss", "goal": "minimize"}, {"name": "lat", "goal": "minimize"}],
}


def test_a_metric_that_is_infinite_in_one_repeat_exceeds_every_limit(directory: SweepDirectory) -> None:
    limit = {"metrics": [{"name": "loss", "goal": "minimize"}, {"name": "lat", "constraint": "<= 20"}]}
    spec = make_spec(**{**TWO_GOALS, **limit}, repeats=2)
    controller = Controller(spec, directory, slots=1)
    for lat in (1.0, math.inf):
        finished(controller, returned(assigned(controller), 0.5, metrics={"loss": 0.5, "lat": lat}))
    (row,) = view(spec, directory).rows()
    assert (row.state, row.value, row.feasible) == ("COMPLETE", 0.5, False)
    assert controller.progress().best is None


@pytest.mark.parametrize(
    ("lats", "state", "values"),
    [([1.0, math.inf], "COMPLETE", (0.5, math.inf)), ([-math.inf, math.inf], "FAIL", None)],
)
def test_a_sweep_with_infinite_goals_can_be_resumed(
    directory: SweepDirectory, lats: list[float], state: str, values: Any
) -> None:
    spec = make_spec(**TWO_GOALS, repeats=2)
    controller = Controller(spec, directory, slots=1)
    for lat in lats:
        finished(controller, returned(assigned(controller), 0.5, metrics={"loss": 0.5, "lat": lat}))
    controller.close()
    Controller(spec, directory, slots=1).close()
    (row,) = view(spec, directory).rows()
    assert (row.state, row.values) == (state, values)
    assert row.reason == (None if state == "COMPLETE" else "the metric 'lat' is NaN")


def test_a_trial_whose_repeats_have_a_nan_goal_fails_on_resume(
    directory: SweepDirectory,
) -> None:
    spec = make_spec(**TWO_GOALS, repeats=2)
    controller = Controller(spec, directory, slots=1)
    for _ in range(2):
        last = assigned(controller)
        if last.repeat == 0:
            finished(controller, returned(last, 0.5, metrics={"loss": 0.5, "lat": 1.0}))
    live = controller._live.trials[0]
    live.finish_run(live.runs[1], 0.5, {"loss": 0.5, "lat": math.nan}, 1.0)  # and then it was killed
    Controller(spec, directory, slots=1)
    assert view(spec, directory).rows()[0].state == "FAIL"


def test_all_goals_and_limits_are_reduced_in_the_same_way(directory: SweepDirectory) -> None:
    spec = make_spec(**TWO_GOALS, repeats={"seeds": 3, "reduce": "median"})
    controller = Controller(spec, directory, slots=1)
    for value in (1.0, 2.0, 9.0):
        found = {"loss": value, "lat": value, "size": value}
        finished(controller, returned(assigned(controller), value, metrics=found))
    (row,) = view(spec, directory).rows()
    assert row.values == (2.0, 2.0)
    assert row.metrics["size"] == 4.0, "the mean, as TensorBoard shows it"
