"""Larger shares of a GPU after lack of memory, and `gpu: auto`, as the controller decides them."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.controller.controller import Controller
from sweep.messages import Assignment, AttemptResult, GpuUse, Outcome
from sweep.system.directory import SweepDirectory
from tests.controller.test_controller import assigned, make_spec, returned, view

GB = 10**9


def run_out(controller: Controller, assignment: Assignment, share: float, **keys: Any) -> AttemptResult:
    """The GPU of an attempt runs out of memory."""
    use = GpuUse(6 * GB, 24 * GB, is_exhausted=True, share=share)
    result = controller.finish(
        Outcome(assignment.number, assignment.attempt, "oom", reason="CUDA out of memory", gpu=use, **keys)
    )
    assert result is not None
    return result


def test_the_share_doubles_with_each_lack_of_gpu_memory(directory: SweepDirectory) -> None:
    spec = make_spec(resources={"gpu": 0.3}, trial={"retries": 3})
    controller = Controller(spec, directory, slots=1)
    first = assigned(controller)
    assert first.gpu is None, "that of the sweep file"
    result = run_out(controller, first, 0.3)
    assert result.reason == "oom: CUDA out of memory; the next attempt has gpu: 0.6"
    second = assigned(controller)
    assert (second.number, second.gpu) == (first.number, 0.6)
    run_out(controller, second, 0.6)
    third = assigned(controller)
    assert third.gpu == 1
    assert "gpu" not in run_out(controller, third, 1.0).reason
    fourth = assigned(controller)
    assert (fourth.number, fourth.gpu) == (first.number, 1)
    controller.finish(returned(fourth, 0.5))
    assert assigned(controller).gpu is None, "other trials keep theirs"
    rows = view(spec, directory).rows()
    assert rows[0].gpu == 1
    assert rows[1].gpu is None


def test_the_larger_share_survives_a_resume(directory: SweepDirectory) -> None:
    spec = make_spec(resources={"gpu": 0.25})
    controller = Controller(spec, directory, slots=1)
    run_out(controller, assigned(controller), 0.25)
    controller.close()
    assert assigned(Controller(spec, directory, slots=1)).gpu == 0.5


@pytest.mark.parametrize("gpu", [0, 0.5, 1, 2])
def test_a_resumed_sweep_with_other_resources_gives_no_trial_less_than_the_others(
    gpu: float, directory: SweepDirectory
) -> None:
    controller = Controller(make_spec(resources={"gpu": 0.25}), directory, slots=1)
    run_out(controller, assigned(controller), 0.25)
    resumed = Controller(make_spec(resources={"gpu": gpu}), directory, slots=1)
    assert assigned(resumed).gpu is None, "that of the sweep file"


@pytest.mark.parametrize(
    "use", [GpuUse(6 * GB, 24 * GB, share=0.25), GpuUse(is_exhausted=True, share=2.0), None]
)
def test_no_other_failure_changes_the_share(directory: SweepDirectory, use: GpuUse | None) -> None:
    controller = Controller(make_spec(resources={"gpu": 0.25}), directory, slots=1)
    assignment = assigned(controller)
    controller.finish(Outcome(assignment.number, 1, "oom", reason="the kernel killed it", gpu=use))
    assert assigned(controller).gpu is None


def test_gpu_auto_measures_two_trials_alone_before_trials_share_a_gpu(directory: SweepDirectory) -> None:
    spec = make_spec(resources={"gpu": "auto"}, stop={"trials": 20})
    controller = Controller(spec, directory, slots=2)
    trials = [assigned(controller), assigned(controller)]
    assert [trial.gpu for trial in trials] == [1, 1]
    steps = [
        controller.next_step(returned(trial, 0.5, gpu=GpuUse(6 * GB, 24 * GB, share=1.0))) for trial in trials
    ]
    assert [step.gpu for step in steps] == [1, 0.3333]
    assert steps[1].assignment is not None
    assert steps[1].assignment.gpu == 0.3333
    assert steps[1].result is not None
    assert steps[1].result.notes == ("trials use up to 6 GB of a GPU's 24 GB: 3 can share it",)
    assert assigned(Controller(spec, directory, slots=2)).gpu == 0.3333, "after a resume too"


def test_with_gpu_auto_a_lack_of_memory_is_not_the_trials_failure(directory: SweepDirectory) -> None:
    spec = make_spec(resources={"gpu": "auto"}, stop={"trials": 20}, trial={"retries": 0, "retry_on": []})
    controller = Controller(spec, directory, slots=1)
    for _ in range(2):
        controller.finish(returned(assigned(controller), 0.5, gpu=GpuUse(7_500_000_000, 24 * GB)))
    trial = assigned(controller)
    assert trial.gpu == 0.3333
    result = run_out(controller, trial, 0.3333)
    assert result.will_retry
    assert result.notes == ("a GPU ran out of memory while 3 trials could share it; from now on 2 can",)
    again = assigned(controller)
    assert (again.number, again.gpu) == (trial.number, 1)
    assert assigned(controller).gpu == 0.5
    assert run_out(controller, again, 1.0).state == "FAIL", "alone it is"


def test_it_is_said_that_memory_cannot_be_measured(directory: SweepDirectory) -> None:
    spec = make_spec(resources={"gpu": "auto"}, stop={"trials": 20})
    controller = Controller(spec, directory, slots=1)
    notes = []
    for _ in range(5):
        result = controller.finish(returned(assigned(controller), 0.5, gpu=GpuUse()))
        assert result is not None
        notes += result.notes
    assert len(notes) == 1
    assert "pip install 'sweep-hpo[gpu]'" in notes[0]
