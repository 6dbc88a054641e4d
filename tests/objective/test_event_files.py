"""Functions with their own writers of event files: what they write becomes curves and reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.tracking.read import read_scalars
from tests.conftest import MakeSweep

IMPORTS = """
    import os, pathlib, time
    from tensorboardX import SummaryWriter
"""


def run(make_sweep: MakeSweep, code: str, trials: int = 1, **keys: Any) -> sweep.SweepResult:
    return sweep.run(make_sweep(IMPORTS + code, stop={"trials": trials}, **keys), inline=True)


def test_the_metric_counts_as_reported(make_sweep: MakeSweep) -> None:
    code = """
    def train(trial):
        writer = SummaryWriter(trial.directory / "logs")
        for step in range(3):
            writer.add_scalar("loss", 4 - step, step)
            writer.add_scalar("other", step, step)
    """
    result = run(make_sweep, code)
    (trial,) = result.trials
    assert (trial.state, trial.value) == ("COMPLETE", 2.0)
    assert result.study.trials[0].intermediate_values == {0: 4.0, 1: 3.0, 2: 2.0}
    assert read_scalars(trial.directory) == {
        "loss": {0: 4.0, 1: 3.0, 2: 2.0},
        "best/loss": {0: 4.0, 1: 3.0, 2: 2.0},
        "other": {0: 0.0, 1: 1.0, 2: 2.0},
    }


@pytest.mark.parametrize(
    ("end", "value"),
    [("pass", None), ("return {'other': 1.0}", None), ("return 3.0", 3.0), ("trial.report(5.0, 2)", 5.0)],
)
def test_a_last_value_at_an_invalid_step_is_an_error_unless_the_function_gives_another(
    make_sweep: MakeSweep, end: str, value: float | None
) -> None:
    code = f"""
    def train(trial):
        writer = SummaryWriter(trial.directory / "logs")
        for step in 0, 2**31:
            writer.add_scalar("loss", 4.0, step)
        writer.flush()
        {end}
    """
    (trial,) = run(make_sweep, code).trials
    assert trial.value == value
    invalid = (
        "BadResultError: the last value of 'loss' was reported at step 2147483648, but steps are whole "
        "numbers from 0 to 2147483647"
    )
    assert trial.reason == (None if value else invalid)


@pytest.mark.parametrize(
    ("end", "value"), [("pass", None), ("return {'other': 1.0}", None), ("trial.report(3.0, 0)", 3.0)]
)
def test_a_writer_from_before_the_trial_is_named_if_the_metric_is_missing(
    make_sweep: MakeSweep, end: str, value: float | None
) -> None:
    code = f"""
    WRITER = SummaryWriter("logs")
    def train(trial):
        WRITER.add_scalar("loss", 1.0, 0)
        {end}
    """
    (trial,) = run(make_sweep, code).trials
    missing = (
        "BadResultError: the objective did not return or report 'loss'; the writer of logs was created "
        "before the trial, so what it logs belongs to none: create it within the objective"
    )
    assert (trial.value, trial.reason) == (value, None if value else missing)


def test_a_trial_is_pruned_by_what_it_has_just_written(make_sweep: MakeSweep) -> None:
    code = """
    def train(trial):
        import sweep
        writer = SummaryWriter(trial.directory)
        for step in range(3):
            writer.add_scalar("loss", trial.number, step)
            if trial.should_prune():
                raise sweep.TrialPruned
    """
    result = run(make_sweep, code, trials=3, pruner={"type": "median", "startup_trials": 2})
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert result.study.trials[2].intermediate_values == {0: 2.0}
    assert result.trials[2].value == 2.0


def test_a_metric_that_is_written_and_reported_exists_once(make_sweep: MakeSweep) -> None:
    code = """
    def train(trial):
        writer = SummaryWriter(trial.directory / "logs")
        for step in range(3):
            writer.add_scalar("loss", 0.1 * step, step)
            writer.add_scalar("train/loss", 0.3, step)
            trial.log({"train/loss": 0.3}, step)
            trial.report(0.1 * step, step)
    """
    result = run(make_sweep, code)
    assert result.study.trials[0].intermediate_values == {0: 0.0, 1: 0.1, 2: 0.2}
    scalars = read_scalars(result.trials[0].directory)
    assert scalars["loss"] == pytest.approx({0: 0.0, 1: 0.1, 2: 0.2})
    events = b"".join(path.read_bytes() for path in result.trials[0].directory.glob("*tfevents*"))
    assert events.count(b"train/loss") == 3


def test_what_a_function_reports_is_not_mixed_with_what_it_has_written_before(make_sweep: MakeSweep) -> None:
    """The writer counts batches, the reports count epochs."""
    code = """
    def train(trial):
        writer = SummaryWriter(trial.directory / "logs")
        for epoch in range(2):
            for batch in range(100):
                writer.add_scalar("loss", -1.0, 100 * epoch + batch)
            (file,) = trial.directory.glob("*.sweep")
            while epoch == 0 and b"best/loss" not in file.read_bytes():
                time.sleep(0.1)
            trial.report(5.0 - epoch, epoch)
    """
    result = run(make_sweep, code)
    assert result.study.trials[0].intermediate_values == {0: 5.0, 1: 4.0}
    assert result.trials[0].metrics == {"loss": 4.0, "best/loss": 4.0}


def test_curves_are_in_the_trials_run_while_it_runs(make_sweep: MakeSweep) -> None:
    code = """
    def train(trial):
        from sweep.tracking.read import read_scalars
        writer = SummaryWriter(trial.directory / "logs")
        writer.add_scalar("loss", 4.0, 0)
        end = time.monotonic() + 120
        while "loss" not in read_scalars(trial.directory) and time.monotonic() < end:
            time.sleep(0.1)
        return float(time.monotonic() < end)
    """
    assert run(make_sweep, code).best_value == 1.0


def test_curves_of_a_failed_trial_are_in_its_run(make_sweep: MakeSweep) -> None:
    code = """
    def train(trial):
        SummaryWriter(trial.directory / "logs").add_scalar("other", 4.0, 0)
        raise ValueError("no")
    """
    (trial,) = run(make_sweep, code).trials
    assert trial.state == "FAIL"
    assert read_scalars(trial.directory) == {"other": {0: 4.0}}


def test_a_resumed_trial_keeps_curves_that_are_counted_in_batches(make_sweep: MakeSweep) -> None:
    code = """
    def train(trial):
        checkpoint = trial.checkpoint.latest()
        first = checkpoint.step + 1 if checkpoint else 0
        writer = SummaryWriter(trial.directory / "logs")
        writer.add_scalar("size", 7.0, 0)
        for epoch in range(first, 3):
            for batch in range(10):
                writer.add_scalar("train/loss", epoch, 10 * epoch + batch)
            trial.report(epoch, epoch)
            if epoch == 1 and not checkpoint:
                raise ValueError
            with trial.checkpoint.save(epoch):
                pass
    """
    (trial,) = run(make_sweep, code, trial={"retries": 1, "retry_on": ["error"]}).trials
    assert trial.attempts == 2
    scalars = read_scalars(trial.directory)
    assert scalars["loss"] == {0: 0.0, 1: 1.0, 2: 2.0}
    assert scalars["train/loss"] == {step: step // 10 for step in range(30)}


def test_a_checkpoint_can_be_requested_after_something_was_written(make_sweep: MakeSweep) -> None:
    code = """
    def train(trial):
        SummaryWriter(trial.directory / "logs").add_scalar("size", 4.0, 0)
        time.sleep(2.5)
        assert trial.checkpoint.latest() is None
        return 1.0
    """
    assert run(make_sweep, code).best_value == 1.0


def test_a_second_trial_of_the_process_does_not_collect_the_files_of_the_first(make_sweep: MakeSweep) -> None:
    code = """
    OPEN = []
    def train(trial):
        OPEN.append(SummaryWriter("logs"))
        OPEN[-1].add_scalar(f"of_{trial.number}", 1.0, 0)
        return 1.0
    """
    result = run(make_sweep, code, trials=2)
    assert [read_scalars(trial.directory).keys() - {"loss", "best/loss"} for trial in result.trials] == [
        {"of_0"},
        {"of_1"},
    ]
    assert len(list(Path("logs").glob("*tfevents*"))) == 2, "files outside the sweep keep their names"


@pytest.mark.process
def test_a_killed_attempt_leaves_no_run(make_sweep: MakeSweep, ray_cluster: None) -> None:
    """A file whose writer is not adapted, as TensorFlow's, keeps its name until the attempt is over."""
    code = """
    def train(trial):
        import signal
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.summary import hparams
        from tensorboardX.proto.event_pb2 import Event
        for place in (".", "logs", "more/logs"):
            (trial.directory / place).mkdir(parents=True, exist_ok=True)
            writer = EventsWriter(str(trial.directory / place / f"events.{time.time()}"))
            for summary in hparams({"own": 1}, {"accuracy": 0.5}):
                writer.write_event(Event(summary=summary))
            writer.flush()
        if trial.number == 0 and not pathlib.Path("killed").exists():
            pathlib.Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0
    """
    file = make_sweep(IMPORTS + code, stop={"trials": 2}, trial={"retries": 1}, max_parallel=1)
    result = sweep.run(file)
    assert [(trial.state, trial.attempts) for trial in result.trials] == [("COMPLETE", 2), ("FAIL", 2)]
    shown = [path.parent for path in result.directory.rglob("*tfevents*")]
    assert set(shown) == {result.directory, *(trial.directory for trial in result.trials)}
    assert len(list(result.directory.rglob("*collected*"))) == 8
    for trial in result.trials:
        own = set(trial.directory.glob("*.sweep"))
        events = [path.read_bytes() for path in {*trial.directory.glob("*tfevents*")} - own]
        assert len(events) == 2
        assert not any(b"_hparams_" in content for content in events)
