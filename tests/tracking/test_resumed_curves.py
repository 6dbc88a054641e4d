"""The curves of a trial that was killed and resumes from a checkpoint have each step once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock

import pytest

from sweep.messages import Assignment, Report
from sweep.tracking.events import EventFile, write_event_file
from sweep.tracking.hparams import Session
from sweep.tracking.read import is_start, read_events, read_scalars, read_values
from sweep.tracking.run_logger import RunLogger
from sweep.tracking.tensorboardx import event_pb2, summary_pb2
from sweep.trial.checkpoints import find_checkpoints
from sweep.trial.trial import Trial, metric_log
from tests.tensorboard_client import metrics, tensorboard

SESSION = Session({"lr": 0.1}, "demo/t0000", 1.0)


class Silent:
    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def should_prune(self) -> bool:
        return False

    def must_end(self) -> bool:
        return False


_runs: list[RunLogger] = []


@pytest.fixture(autouse=True)
def _closed_files() -> Iterator[None]:
    """Close the files of attempts that are killed in the test: a later test may make errors of warnings."""
    yield
    for run in _runs:
        run.finish()
    _runs.clear()


def attempt(directory: Path, number: int, is_define_by_run: bool = False) -> Trial:
    saved = find_checkpoints(directory / "checkpoint")
    run = RunLogger(
        directory,
        SESSION,
        "loss",
        maximize=False,
        resume_after=saved[-1].step if saved else None,
        is_define_by_run=is_define_by_run,
    )
    _runs.append(run)
    return Trial(Assignment(0, number, {"lr": 0.1}, SESSION, 7), directory, "loss", run, Silent(), "cpu")


def run_steps(trial: Trial, first: int, last: int, plus: float = 0.0) -> None:
    for step in range(first, last + 1):
        trial.log({"loss": 10.0 - step + plus, "speed": step}, step)


def save(trial: Trial, step: int) -> None:
    with trial.checkpoint.save(step):
        pass


def resume_and_finish(directory: Path) -> None:
    first = attempt(directory, 1)
    run_steps(first, 0, 3)
    save(first, 3)
    run_steps(first, 4, 6, plus=100.0)  # lost when it is killed here
    second = attempt(directory, 2)
    second.writer.add_text("note", "written before the checkpoint is asked for")
    found = second.checkpoint.latest()
    assert found is not None
    run_steps(second, found.step + 1, 7)
    second._run.finish()


def begin_anew(directory: Path) -> None:
    first = attempt(directory, 1)
    run_steps(first, 0, 3, plus=50.0)
    save(first, 3)
    run_steps(first, 4, 6, plus=50.0)
    second = attempt(directory, 2)  # it does not ask for the checkpoint
    second.writer.add_text("note", "written before the first step")
    run_steps(second, 0, 7)
    second._run.finish()


def repeat_the_step_of_the_checkpoint(directory: Path) -> None:
    first = attempt(directory, 1)
    run_steps(first, 0, 2)
    first.log({"loss": 7.0, "speed": 99.0}, 3)
    save(first, 3)
    second = attempt(directory, 2)
    assert second.checkpoint.latest() is not None
    run_steps(second, 3, 7)
    second._run.finish()


def go_on_without_a_checkpoint(directory: Path) -> None:
    first = attempt(directory, 1)
    run_steps(first, 0, 3)
    run_steps(first, 4, 6, plus=100.0)  # a script had saved its state before
    second = attempt(directory, 2)
    metric_log(second).continue_curves()
    metric_log(second).log_written({}, 0, text_event())  # it logs its configuration again
    run_steps(second, 4, 7)
    second._run.finish()


def start_over_after_one_step(directory: Path) -> None:
    first = attempt(directory, 1)
    run_steps(first, 0, 0, plus=-5.0)
    second = attempt(directory, 2)
    metric_log(second).continue_curves()
    run_steps(second, 0, 7)
    second._run.finish()
    assert set(read_scalars(directory)["best/loss"].values()) == {10.0 - step for step in range(8)}


def say_once_more_how_large_it_is(directory: Path) -> None:
    first = attempt(directory, 1)
    first.log({"parameters": 1e6}, 0)
    run_steps(first, 0, 5)
    second = attempt(directory, 2)
    metric_log(second).continue_curves()
    second.log({"parameters": 1e6}, 0)
    run_steps(second, 4, 7)
    second._run.finish()


def text_event() -> Any:
    value = summary_pb2.Summary.Value(tag="note", metadata=summary_pb2.SummaryMetadata())
    return event_pb2.Event(step=0, summary=summary_pb2.Summary(value=[value]))


@pytest.mark.process
@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
@pytest.mark.parametrize(
    "story",
    [
        resume_and_finish,
        begin_anew,
        repeat_the_step_of_the_checkpoint,
        go_on_without_a_checkpoint,
        start_over_after_one_step,
        say_once_more_how_large_it_is,
    ],
)
def test_each_step_exists_once(story: Callable[[Path], Any], fast: bool, tmp_path: Path) -> None:
    directory = tmp_path / "trial-0000"
    story(directory)
    expected = [(step, 10.0 - step) for step in range(8)]
    assert list(read_scalars(directory)["loss"].items()) == expected
    with tensorboard(tmp_path, fast) as board:
        (row,) = board.wait_for_rows(1)
        assert board.scalars("trial-0000", "loss") == expected
        assert board.scalars("trial-0000", "speed") == [(step, float(step)) for step in range(8)]
        assert metrics(row)["loss"] == 3.0
        assert metrics(row)["best/loss"] == 3.0


def test_a_trial_that_resumes_after_its_last_step_keeps_its_values(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    run_steps(first, 0, 3)
    save(first, 3)
    second = attempt(tmp_path, 2)
    second.checkpoint.latest()
    assert second.last_reported == Report(3, 7.0)
    assert {tag: value for tag, (_, value) in second._run.last.items()} == {
        "loss": 7.0,
        "best/loss": 7.0,
        "speed": 3.0,
    }
    second._run.finish()
    assert list(read_scalars(tmp_path)["loss"]) == [0, 1, 2, 3]


def test_the_best_value_does_not_include_steps_that_are_repeated(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    run_steps(first, 0, 3)
    save(first, 3)
    second = attempt(tmp_path, 2)
    assert second.checkpoint.latest() is not None
    run_steps(second, 2, 3, plus=5.0)
    second._run.finish()
    assert read_scalars(tmp_path)["best/loss"] == {0: 10.0, 1: 9.0, 2: 9.0, 3: 9.0}


def test_a_script_that_resumes_after_its_last_step_keeps_its_values(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    run_steps(first, 0, 3)
    second = attempt(tmp_path, 2)
    metric_log(second).continue_curves()
    assert second.last_reported == Report(3, 7.0)
    second._run.finish()
    assert list(read_scalars(tmp_path)["loss"]) == [0, 1, 2, 3]


def test_scalars_that_a_script_writes_in_the_same_second_are_kept(tmp_path: Path) -> None:
    for number in (1, 2):
        trial = attempt(tmp_path, number)
        metric_log(trial).continue_curves()
        script = tmp_path / f"events.out.tfevents.{int(time.time())}.a-host.1.v2"
        writer = EventFile(tmp_path, path=script)  # "a-host" sorts before any other
        for step in range(3 * number - 3, 3 * number):
            value = summary_pb2.Summary.Value(tag="loss", simple_value=step)
            writer.add_summary(summary_pb2.Summary(value=[value]), step)
            metric_log(trial).log_written({"loss": step}, step)
        writer.finish()
        metric_log(trial).run.move_to_last_file()
        trial._run.finish()
    assert list(read_scalars(tmp_path)["loss"]) == [0, 1, 2, 3, 4, 5]


def test_the_latest_checkpoint_has_to_be_requested_before_anything_is_logged(tmp_path: Path) -> None:
    trial = attempt(tmp_path, 1)
    trial.log({"parameters": 1000.0}, 0)
    with pytest.raises(RuntimeError, match="call it first, so that the curves continue"):
        trial.checkpoint.latest()
    save(trial, 0)
    assert trial.checkpoint.latest() is not None, "its own checkpoint can be requested at any time"


def train_batches(trial: Trial, first: int, last: int) -> None:
    """Epochs of five batches, whose curves count batches."""
    for epoch in range(first, last + 1):
        for step in range(5 * epoch, 5 * epoch + 5):
            trial.log({"batch/loss": float(step)}, step)
            trial.writer.add_histogram("weights", [float(step)], step)
        trial.log({"loss": 10.0 - epoch}, epoch)


def histograms(directory: Path) -> list[int]:
    found: list[int] = []
    for event in read_events(directory, without=Path()):
        if is_start(event):
            found = [step for step in found if step < event.step]
        found += [event.step for value in event.summary.value if value.tag == "weights"]
    return found


def nothing(trial: Trial) -> None:
    pass


def write_text(trial: Trial) -> None:
    trial.writer.add_text("note", "written before the first step")


def log_a_size(trial: Trial) -> None:
    trial.log({"parameters": 1e6}, 0)


@pytest.mark.parametrize("is_define_by_run", [False, True])
@pytest.mark.parametrize("begin", [nothing, write_text, log_a_size])
def test_points_that_are_counted_in_batches_are_kept_if_the_checkpoint_includes_them(
    begin: Callable[[Trial], None], is_define_by_run: bool, tmp_path: Path
) -> None:
    first = attempt(tmp_path, 1, is_define_by_run)
    train_batches(first, 0, 2)
    save(first, 2)
    train_batches(first, 3, 3)  # lost when it is killed here
    second = attempt(tmp_path, 2, is_define_by_run)
    assert second.checkpoint.latest() is not None
    begin(second)
    train_batches(second, 3, 4)
    second._run.finish()
    assert list(read_scalars(tmp_path)["batch/loss"].items()) == [(step, float(step)) for step in range(25)]
    assert list(read_scalars(tmp_path)["loss"]) == [0, 1, 2, 3, 4]
    assert histograms(tmp_path) == list(range(25))


@pytest.mark.parametrize("is_define_by_run", [False, True])
@pytest.mark.parametrize("begin", [nothing, write_text])
def test_an_attempt_that_ends_before_it_has_logged_anything_loses_no_points(
    begin: Callable[[Trial], None], is_define_by_run: bool, tmp_path: Path
) -> None:
    first = attempt(tmp_path, 1, is_define_by_run)
    train_batches(first, 0, 2)
    save(first, 2)
    second = attempt(tmp_path, 2, is_define_by_run)
    assert second.checkpoint.latest() is not None
    begin(second)
    second._run.finish()
    third = attempt(tmp_path, 3, is_define_by_run)
    assert third.checkpoint.latest() is not None
    train_batches(third, 3, 3)
    third._run.finish()
    assert list(read_scalars(tmp_path)["batch/loss"]) == list(range(20))
    assert histograms(tmp_path) == list(range(20))


def test_the_steps_of_a_checkpoint_can_be_counted_in_batches_and_curves_in_epochs(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    train_batches(first, 0, 2)
    save(first, 14)
    first.log({"loss": 99.0}, 3)  # lost when it is killed here
    second = attempt(tmp_path, 2)
    assert second.checkpoint.latest() is not None
    second.log({"loss": 7.0}, 3)
    train_batches(second, 4, 4)
    second._run.finish()
    assert list(read_scalars(tmp_path)["batch/loss"]) == [*range(15), *range(20, 25)]
    assert read_scalars(tmp_path)["loss"] == {0: 10.0, 1: 9.0, 2: 8.0, 3: 7.0, 4: 6.0}


def test_a_checkpoint_includes_what_the_objective_has_written_itself_since_the_last_report(
    tmp_path: Path,
) -> None:
    first = attempt(tmp_path, 1)
    log = metric_log(first)
    log.collect = lambda: log.hold_written({"loss": 0.5}, 4)
    save(first, 4)
    assert first._channel.reports == [], "the function may report another value"  # type: ignore[attr-defined]
    second = attempt(tmp_path, 2)
    assert second.checkpoint.latest() is not None
    assert second.last_value == 0.5


@pytest.mark.parametrize(
    "begin",
    [
        lambda trial: trial.writer.add_scalar("gpu", 2.0),
        lambda trial: trial.writer.add_scalar("new", 2.0),
        lambda trial: trial.log({"new": 2.0}, 3),
    ],
    ids=["its last step", "a new tag", "a new tag with a step"],
)
def test_a_scalar_that_tells_no_new_step_drops_nothing(
    begin: Callable[[Trial], None], tmp_path: Path
) -> None:
    first = attempt(tmp_path, 1)
    run_steps(first, 0, 3)
    first.writer.add_scalar("gpu", 1.0)
    save(first, 3)
    second = attempt(tmp_path, 2)
    assert second.checkpoint.latest() is not None
    begin(second)
    run_steps(second, 4, 5)
    second._run.finish()
    assert list(read_scalars(tmp_path)["loss"]) == list(read_scalars(tmp_path)["speed"]) == [0, 1, 2, 3, 4, 5]


def test_scalars_without_a_step_are_counted_from_those_that_the_checkpoint_includes(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    for value in (9.0, 8.0, 7.0, 6.0):
        if value == 7.0:
            save(first, 1)
        first.writer.add_scalar("loss", value)
    second = attempt(tmp_path, 2)
    assert second.checkpoint.latest() is not None
    second.writer.add_scalar("loss", 5.0)
    second._run.finish()
    assert read_scalars(tmp_path)["loss"] == {0: 9.0, 1: 8.0, 2: 5.0}
    assert second._channel.reports == [Report(2, 5.0)]  # type: ignore[attr-defined]


def test_points_after_the_checkpoint_are_dropped_in_whatever_their_steps_are_counted(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    train_batches(first, 0, 2)
    save(first, 14)
    train_batches(first, 3, 5)  # lost when it is killed here
    second = attempt(tmp_path, 2)
    assert second.checkpoint.latest() is not None
    second.log({"batch/loss": 15.0}, 15)
    second.writer.add_histogram("weights", [3.0], 3)
    second.log({"loss": 7.0}, 3)
    second._run.finish()
    scalars = read_scalars(tmp_path)
    assert list(scalars["batch/loss"]) == list(range(16))
    assert scalars["loss"] == {0: 10.0, 1: 9.0, 2: 8.0, 3: 7.0}
    assert scalars["best/loss"] == scalars["loss"]
    assert sorted(histograms(tmp_path)) == sorted([*range(15), 3])


def test_a_writer_that_was_used_before_the_checkpoint_was_requested_loses_nothing(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    first.writer.add_scalar("parameters", 1e6, 0)
    assert first.checkpoint.latest() is None
    train_batches(first, 0, 2)
    save(first, 2)
    second = attempt(tmp_path, 2)
    writer = second.writer
    writer.add_scalar("parameters", 1e6, 0)
    assert second.checkpoint.latest() is not None
    train_batches(second, 3, 3)
    writer.add_text("note", "the end", 20)
    second._run.finish()
    scalars = read_scalars(tmp_path)
    assert list(scalars["batch/loss"]) == list(range(20))
    assert list(scalars["loss"]) == [0, 1, 2, 3]
    assert scalars["parameters"] == {0: 1e6}
    assert histograms(tmp_path) == list(range(20))


def test_what_another_thread_collects_while_points_are_written_again_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = attempt(tmp_path, 1)
    train_batches(first, 0, 2)
    save(first, 2)
    second = attempt(tmp_path, 2)
    collector = Thread(target=metric_log(second).hold_written, args=({}, 0, text_event()))

    def write_slowly(*arguments: Any) -> Path:
        collector.start()
        collector.join(0.2)
        return write_event_file(*arguments)

    monkeypatch.setattr("sweep.tracking.run_logger.write_event_file", write_slowly)
    assert second.checkpoint.latest() is not None
    collector.join()
    second._run.finish()
    assert "note" in [value.tag for value, _ in read_values(tmp_path)]


def test_an_attempt_that_dies_while_points_are_written_again_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = attempt(tmp_path, 1)
    train_batches(first, 0, 2)
    save(first, 2)
    second = attempt(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            second.checkpoint.latest()
    third = attempt(tmp_path, 3)
    assert third.checkpoint.latest() is not None
    train_batches(third, 3, 3)
    third._run.finish()
    assert list(read_scalars(tmp_path)["batch/loss"]) == list(range(20))


def test_another_quantity_that_is_returned_without_a_further_step_replaces_no_curve(tmp_path: Path) -> None:
    first = attempt(tmp_path, 1)
    train_batches(first, 0, 2)
    save(first, 2)
    second = attempt(tmp_path, 2)
    assert second.checkpoint.latest() is not None
    second._run.add_final({"loss": 0.125})
    second._run.finish()
    scalars = read_scalars(tmp_path)
    assert list(scalars["batch/loss"]) == list(range(15))
    assert scalars["reported/loss"] == {0: 10.0, 1: 9.0, 2: 8.0}
    assert scalars["loss"] == {0: 0.125}


def test_what_the_objective_reports_itself_counts_even_after_a_checkpoint(tmp_path: Path) -> None:
    trial = attempt(tmp_path, 1)
    log = metric_log(trial)
    log.hold_written({"loss": 5.0}, 0)
    save(trial, 0)
    trial.report(0.5, 0)
    assert trial._channel.reports == [Report(0, 0.5)]  # type: ignore[attr-defined]


@pytest.mark.process
@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_a_tensorboard_that_is_open_shows_all_points_of_a_trial_that_resumes(
    fast: bool, tmp_path: Path
) -> None:
    directory = tmp_path / "trial-0000"
    first = attempt(directory, 1)
    train_batches(first, 0, 2)
    save(first, 2)
    train_batches(first, 3, 3)  # lost when it is killed here
    with tensorboard(tmp_path, fast) as board:
        board.wait_for_rows(1)
        second = attempt(directory, 2)
        assert second.checkpoint.latest() is not None
        train_batches(second, 3, 4)
        second._run.finish()
        end = time.monotonic() + 120
        while len(board.scalars("trial-0000", "batch/loss")) < 25 and time.monotonic() < end:
            time.sleep(0.5)
        assert board.scalars("trial-0000", "batch/loss") == [(step, float(step)) for step in range(25)]
        assert board.scalars("trial-0000", "loss") == [(epoch, 10.0 - epoch) for epoch in range(5)]
