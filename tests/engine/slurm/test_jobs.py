"""The number of Slurm jobs follows the work, with small programs in place of Slurm's."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from sweep.caller import CommandLine, called_by
from sweep.engine.slurm import jobs as jobs_module
from sweep.engine.slurm.jobs import JobNode, SlurmJobs, cancel_earlier_jobs
from sweep.engine.slurm.options import SlurmOptions
from sweep.engine.slurm.queue import SlurmError, SlurmQueue
from sweep.errors import InputError, SweepStopped
from sweep.sweepfile.resources import Resources
from sweep.system.directory import SweepDirectory
from tests.commands import PATIENCE
from tests.engine.slurm.conftest import FakeSlurm

pytestmark = pytest.mark.process


class Sweep:
    """A sweep with work, and the jobs that it has."""

    def __init__(self, directory: SweepDirectory, slurm: FakeSlurm) -> None:
        self.directory = directory
        self.slurm = slurm
        self.jobs = SlurmJobs(directory, SlurmOptions(), Resources())
        self.work: float = math.inf
        self.nodes: dict[str, JobNode] = {}
        self.notes: list[str] = []

    def limit(self, nodes: str) -> None:
        self.jobs = SlurmJobs(self.directory, SlurmOptions.read("--partition=cpu", nodes), Resources())

    def join(self, number: str, slots: int = 1, workers: int = 1) -> None:
        """A job starts, and its machine joins."""
        self.slurm.set(number, "RUNNING")
        self.nodes[number] = JobNode(slots, workers)

    def leave(self, number: str) -> None:
        """A job ends, and its machine leaves."""
        self.slurm.end(number)
        del self.nodes[number]

    def step(self) -> list[str]:
        """The queue is compared with the work; returns the jobs that are listed afterwards."""
        self.notes += self.jobs.update(self.work, dict(self.nodes))
        self.jobs.step()
        self.notes += self.jobs.update(self.work, dict(self.nodes))
        return self.slurm.listed


@pytest.fixture
def sweep(directory: SweepDirectory, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    directory.jobs.mkdir()
    monkeypatch.setattr(jobs_module, "_LISTED_WITHIN", 0.0)
    return Sweep(directory, fake_slurm)


def log(sweep: Sweep, number: str, text: str) -> None:
    (sweep.directory.jobs / f"{number}.log").write_text(text)


def test_there_are_as_many_jobs_as_may_be_while_the_work_is_unlimited(sweep: Sweep) -> None:
    sweep.limit("0..3")
    assert sweep.step() == ["1", "2", "3"]
    assert sweep.step() == ["1", "2", "3"]
    assert sweep.slurm.options("1")[0] == "--partition=cpu"


def test_there_are_no_more_jobs_than_the_work_needs(sweep: Sweep) -> None:
    sweep.work = 2
    assert sweep.step() == ["1", "2"]


def test_when_it_is_known_what_a_job_has_room_for_waiting_jobs_that_are_not_needed_are_cancelled(
    sweep: Sweep,
) -> None:
    sweep.work = 6
    assert len(sweep.step()) == 6
    sweep.join("1", slots=4, workers=4)
    assert sweep.step() == ["1", "2"]
    assert set(sweep.slurm.cancelled) == {"3", "4", "5", "6"}


def test_there_are_more_jobs_again_when_fewer_trials_fit_into_one(sweep: Sweep) -> None:
    sweep.work = 8
    sweep.step()
    for slots, count in ((1, 8), (4, 2), (2, 4), (1, 8)):
        sweep.nodes.clear()
        for number in sweep.slurm.listed[:2]:
            sweep.join(number, slots)
        assert len(sweep.step()) == count


def test_a_machine_without_work_is_given_back_and_one_with_work_is_not(sweep: Sweep) -> None:
    sweep.work = 3
    sweep.step()
    for number in "123":
        sweep.join(number)
    sweep.step()
    sweep.work = 1
    sweep.nodes["2"] = JobNode(1, 0)
    assert sweep.step() == ["1", "3"]


def test_the_least_number_of_jobs_is_kept_without_work(sweep: Sweep) -> None:
    sweep.limit("2..4")
    sweep.work = 0
    assert sweep.step() == ["1", "2"]


def test_a_job_that_has_ended_is_replaced_while_there_is_work(sweep: Sweep) -> None:
    sweep.work = 2
    sweep.step()
    sweep.join("1")
    sweep.join("2")
    sweep.step()
    sweep.leave("1")
    assert sweep.step() == ["2", "3"]
    assert any("job 1 ended; submitted job 3" in note for note in sweep.notes)
    sweep.work = 1
    sweep.leave("2")
    assert sweep.step() == ["3"]


def test_a_job_that_slurm_is_cleaning_up_is_replaced(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    sweep.join("1")
    sweep.step()
    sweep.slurm.set("1", "COMPLETING")
    assert sweep.step() == ["1", "2"]


@pytest.mark.parametrize("reason", ["BeginTime", "JobHoldMaxRequeue"])
def test_a_requeued_job_that_slurm_holds_back_is_replaced(sweep: Sweep, reason: str) -> None:
    sweep.work = 1
    sweep.step()
    sweep.join("1")
    sweep.step()
    sweep.nodes.clear()
    sweep.slurm.set("1", "PENDING", reason)
    assert sweep.step() == ["2"]
    assert sweep.slurm.cancelled == ["1"]


def test_a_requeued_job_that_may_start_stays(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    sweep.join("1")
    sweep.step()
    sweep.nodes.clear()
    sweep.slurm.set("1", "PENDING", "Resources")
    assert sweep.step() == ["1"]


def test_a_job_that_the_user_lets_begin_later_is_not_replaced(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    sweep.slurm.set("1", "PENDING", "BeginTime")
    assert sweep.step() == ["1"]


def test_a_job_that_is_not_listed_yet_is_not_submitted_again(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_LISTED_WITHIN", 60.0)
    sweep.work = 1
    sweep.step()
    sweep.slurm.end("1")
    sweep.step()
    assert sweep.slurm.submitted == 1
    log(sweep, "1", "it has started, and is not listed any more\n")
    sweep.step()
    assert sweep.slurm.submitted == 2


def test_a_job_whose_machine_is_there_has_not_ended_whatever_squeue_lists(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    sweep.join("1")
    sweep.step()
    sweep.slurm.end("1")
    assert sweep.step() == []
    sweep.nodes.clear()
    assert sweep.step() == ["2"]


def test_jobs_of_an_earlier_run_are_cancelled(sweep: Sweep) -> None:
    sweep.slurm.set("90", "RUNNING")
    sweep.slurm.set("91", "COMPLETING")
    sweep.work = 1
    sweep.step()
    assert sweep.slurm.cancelled == ["90"]


def test_before_a_run_the_jobs_of_earlier_ones_have_ended(sweep: Sweep) -> None:
    sweep.slurm.set("90", "RUNNING")
    cancel_earlier_jobs(sweep.directory)
    assert sweep.slurm.listed == []


def test_an_error_of_the_first_submission_is_one_of_the_input(sweep: Sweep) -> None:
    sweep.slurm.fail("sbatch: error: invalid account")
    with pytest.raises(InputError, match=r"^--slurm: sbatch: invalid account; --slurm-args changes"):
        sweep.jobs.start(1)


def test_a_sweep_does_not_start_while_the_jobs_of_earlier_runs_are_unknown(sweep: Sweep) -> None:
    sweep.slurm.fail("squeue: error: busy", "squeue")
    with pytest.raises(InputError, match=r"^--slurm: squeue: busy$"):
        cancel_earlier_jobs(sweep.directory)


def test_a_limit_of_the_account_leaves_the_jobs_that_were_accepted(sweep: Sweep) -> None:
    sweep.work = 2
    sweep.step()
    sweep.work = 4
    sweep.slurm.fail("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    with pytest.raises(SlurmError, match="QOSMaxSubmitJobPerUserLimit"):
        sweep.step()
    assert sweep.slurm.listed == ["1", "2"]
    sweep.slurm.mend()
    assert len(sweep.step()) == 4


def test_three_jobs_that_end_before_they_join_stop_the_sweep_with_their_output(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    for number in "12":
        log(sweep, number, "python: not found\n")
        sweep.slurm.end(number)
        sweep.step()
    log(sweep, "3", "python: not found\n")
    sweep.slurm.end("3")
    with pytest.raises(SweepStopped, match=r"3 Slurm jobs in a row .*\n  python: not found"):
        sweep.step()


def test_three_jobs_that_cannot_join_while_others_run_trials_are_a_note_and_a_pause(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.work = 2
    sweep.step()
    sweep.join("1")
    for number in "234":
        log(sweep, number, "python: not found\n")
        sweep.slurm.end(number)
        sweep.step()
    assert sweep.slurm.listed == ["1"]
    assert "3 Slurm jobs in a row" in sweep.notes[-1]
    assert sweep.notes[-1].endswith("\n  python: not found")
    sweep.step()
    assert sweep.slurm.listed == ["1"]
    assert sum("in a row" in note for note in sweep.notes) == 1
    monkeypatch.setattr(sweep.jobs, "_paused_until", 0.0)
    assert sweep.step() == ["1", "5"]


def test_a_pause_ends_when_no_job_runs_any_more(sweep: Sweep) -> None:
    sweep.work = 2
    sweep.step()
    sweep.join("1")
    for number in "234":
        log(sweep, number, "python: not found\n")
        sweep.slurm.end(number)
        sweep.step()
    sweep.leave("1")
    assert sweep.step() == ["5", "6"]


def test_many_jobs_that_cannot_start_are_one_note(sweep: Sweep) -> None:
    sweep.limit("0..12")
    sweep.step()
    sweep.join("1")
    sweep.step()
    for number in range(2, 13):
        sweep.slurm.set(str(number), "PENDING", "launch failed requeued held")
    sweep.step()
    assert sum("in a row" in note for note in sweep.notes) == 1


def test_a_job_that_its_machine_could_not_start_is_replaced(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    sweep.slurm.set("1", "RUNNING", "Prolog")
    sweep.step()
    sweep.slurm.set("1", "PENDING", "launch failed requeued held")
    assert sweep.step() == ["2"]
    assert sweep.slurm.cancelled == ["1"]


def test_three_jobs_in_a_row_that_slurm_cannot_start_stop_the_sweep(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    for number in "12":
        sweep.slurm.set(number, "PENDING", "launch failed requeued held")
        sweep.step()
    sweep.slurm.set("3", "PENDING", "launch failed requeued held")
    with pytest.raises(SweepStopped, match=r"could not start job 3: launch failed requeued held"):
        sweep.step()
    assert sweep.jobs.close() == ""
    assert sweep.slurm.listed == []


def test_three_jobs_in_a_row_that_cannot_write_their_output_stop_the_sweep(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    for number in "12":
        sweep.slurm.end(number, "FAILED|JobLaunchFailure")
        sweep.step()
    sweep.slurm.end("3", "FAILED|JobLaunchFailure")
    with pytest.raises(
        SweepStopped, match=r"job 3: JobLaunchFailure; its machine must be able to write to /"
    ):
        sweep.step()


def test_jobs_that_are_cancelled_before_they_start_do_not_count(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    for number in range(1, 6):
        sweep.slurm.end(str(number), "CANCELLED|None")
        sweep.step()
    assert sweep.slurm.listed == ["6"]


def test_at_the_end_a_job_that_has_returned_to_the_queue_is_cancelled_too(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    sweep.join("1")
    sweep.step()
    sweep.slurm.set("1", "COMPLETING")
    sweep.nodes.clear()
    sweep.work = 0
    sweep.step()
    sweep.slurm.set("1", "PENDING", "BeginTime")
    assert sweep.jobs.close() == ""
    assert sweep.slurm.listed == []


def test_no_job_is_submitted_once_the_sweep_is_stopped(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.limit("0..3")
    submit = sweep.jobs._queue.submit

    def stop_while_submitting(*arguments: Any) -> str:
        sweep.jobs._is_closed.set()
        return submit(*arguments)

    monkeypatch.setattr(sweep.jobs._queue, "submit", stop_while_submitting)
    sweep.jobs.step()
    assert sweep.slurm.submitted == 1


def test_the_sweep_learns_of_the_end_of_its_jobs_with_the_command_that_resumes_it(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_ASK_EVERY", 0.1)
    sweep.slurm.fail_jobs("python: not found\n")
    with called_by(CommandLine(["run", "space.yaml", "--slurm"])):
        sweep.jobs.start(1)
    with pytest.raises(
        SweepStopped, match=r"\n  python: not found\nresume with: sweep run space.yaml --slurm$"
    ):
        wait_for(sweep, "no such note")


def test_jobs_that_somebody_cancels_before_they_join_do_not_count(sweep: Sweep) -> None:
    sweep.work = 1
    sweep.step()
    for number in range(1, 6):
        log(sweep, str(number), f"slurmstepd: error: *** JOB {number} ON n1 CANCELLED AT 2026 ***\n")
        sweep.slurm.end(str(number))
        sweep.step()
    assert sweep.slurm.listed == ["6"]


def test_what_is_waited_for_is_said_once_for_each_reason(sweep: Sweep) -> None:
    sweep.work = 2
    for _ in range(3):
        sweep.step()
    assert sum("2 jobs queued in Slurm (Priority), 0 running" in note for note in sweep.notes) == 1
    sweep.join("1")
    sweep.step()
    count = len(sweep.notes)
    sweep.step()
    assert len(sweep.notes) == count


def test_at_the_end_all_jobs_are_cancelled_and_none_follows(sweep: Sweep) -> None:
    sweep.work = 2
    sweep.step()
    assert sweep.jobs.close() == ""
    assert sweep.slurm.listed == []
    sweep.jobs.step()
    assert sweep.slurm.submitted == 2


def test_a_job_that_comes_to_the_queue_at_the_end_is_cancelled_too(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel_all, late = SlurmQueue.cancel_all, ["8", "9"]

    def cancel(queue: SlurmQueue) -> None:
        cancel_all(queue)
        if late:  # sbatch has been answered only now
            sweep.slurm.set(late.pop(), "PENDING")

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(SlurmQueue, "cancel_all", cancel)
    sweep.step()
    assert sweep.jobs.close() == ""
    assert sweep.slurm.listed == []


def test_jobs_that_are_not_cancelled_are_named(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(SlurmQueue, "cancel_all", lambda queue: None)
    sweep.work = 2
    sweep.step()
    assert sweep.jobs.close().startswith("2 jobs could not be cancelled; ")


def test_jobs_that_cannot_be_cancelled_are_named(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    sweep.work = 2
    sweep.step()
    sweep.slurm.fail("scancel: error: busy", "scancel")
    assert "scancel: busy; " in (note := sweep.jobs.close())
    assert note.endswith("scancel 1 2")


def test_the_jobs_are_followed_in_a_thread_which_survives_a_busy_controller(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_ASK_EVERY", 0.1)
    monkeypatch.setattr(jobs_module, "_ASK_AT_LEAST_EVERY", 0.2)
    sweep.slurm.fail("slurm_load_jobs error: Socket timed out", "squeue")
    sweep.jobs.start(3)
    assert sweep.slurm.submitted == 1
    wait_for(sweep, "Socket timed out")
    sweep.slurm.mend()
    end = time.monotonic() + PATIENCE
    while sweep.slurm.submitted < 3 and time.monotonic() < end:
        time.sleep(0.05)
    sweep.jobs.close()
    assert sweep.slurm.submitted == 3
    assert sum("Socket timed out" in note for note in sweep.notes) == 1


def wait_for(sweep: Sweep, text: str) -> None:
    end = time.monotonic() + PATIENCE
    while not any(text in note for note in sweep.notes) and time.monotonic() < end:
        sweep.notes += sweep.jobs.update(3, {})
        time.sleep(0.05)
