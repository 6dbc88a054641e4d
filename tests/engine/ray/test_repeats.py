"""Repeats of trials in real worker processes."""

from __future__ import annotations

from pathlib import Path

import pytest

import sweep
from sweep.controller.requests import Request, write_request
from sweep.engine.observer import Observer
from sweep.messages import Assignment
from tests.conftest import MakeSweep
from tests.engine.ray.test_faults import CHECKPOINTING, LONG, find, meanwhile, run_id, wait_for

pytestmark = pytest.mark.usefixtures("ray_cluster")


class Starts(Observer):
    """Records which attempts have started."""

    wants_frequent_progress = True

    def __init__(self) -> None:
        self.seen: list[Assignment] = []

    def on_attempt_start(self, assignment: Assignment) -> None:
        self.seen.append(assignment)


def test_repeats_of_one_trial_run_in_parallel_in_separate_directories(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = make_sweep(
        """
        import os, pathlib, time

        def train(trial):
            print("seed", trial.seed, os.environ["SWEEP_TRIAL_DIR"])
            (trial.directory / "began").touch()
            while len(list(trial.directory.parent.glob("seed-*/began"))) < 3:
                time.sleep(0.05)  # until all repeats run
            with trial.checkpoint.save(0):
                pass
            return trial.repeat
        """,
        stop={"trials": 1},
        repeats={"seeds": [5, 6, 7], "reduce": "max"},
    )
    (trial,) = sweep.run(file).trials
    assert (trial.state, trial.value, trial.repeats, trial.attempts) == ("COMPLETE", 2.0, [0.0, 1.0, 2.0], 1)
    root = project / "runs/demo/trial-0000"
    assert {path.name for path in root.iterdir()} == {"seed-5", "seed-6", "seed-7"}
    for seed in (5, 6, 7):
        run = root / f"seed-{seed}"
        assert (run / "output.log").read_text() == f"seed {seed} {run}\n"
        assert len(list(run.glob("events.out.tfevents.*"))) == 1
        assert (run / "checkpoint/0000-step-0").is_dir()


def test_each_repeat_resumes_from_its_own_checkpoint(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        CHECKPOINTING.replace("FAILURE", "os._exit(1)").replace("return 4.5", "return trial.repeat"),
        stop={"trials": 2},
        repeats=2,
        max_parallel=3,
    )
    for row in sweep.run(file).trials:
        assert (row.state, row.attempts, row.repeats) == ("COMPLETE", 2, [0.0, 1.0])
        for repeat in range(2):
            diary = row.directory / f"seed-{repeat}" / "diary"
            assert diary.read_text().split() == list("012345"), "no step ran twice"


def test_when_a_repeat_fails_the_other_repeats_and_their_children_are_killed(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import subprocess, time

        def train(trial):
            if trial.number == 1 and trial.repeat == 1:
                while len(list(trial.directory.parent.glob("seed-*/output.log"))) < 3:
                    time.sleep(0.02)
                raise ValueError("no")
            if trial.number == 1:
                print("waiting", flush=True)
                subprocess.run(["sleep", "LONG"])
            return trial.params.x
        """.replace("LONG", LONG),
        stop={"trials": 3},
        repeats=4,
        max_parallel=3,
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    failed = result.trials[1]
    assert (failed.reason, failed.repeats) == ("seed-1: ValueError: no", [None] * 4)
    assert "ValueError: no" in (failed.directory / "seed-1/error.txt").read_text()
    assert not (failed.directory / "seed-3").exists(), "it was never started"
    assert not find(f"sleep {LONG}")


def test_stopping_a_trial_stops_all_its_repeats(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            trial.report(0.25, 0)
            trial.should_prune()  # the controller has the report then
            if trial.number == 1:
                pathlib.Path(trial.directory, "told").touch()
                time.sleep(1000)
            return trial.params.x
        """,
        stop={"trials": 3},
        repeats=3,
        max_parallel=2,
    )

    def stop() -> None:
        wait_for(lambda: len(list((project / "runs/demo/trial-0001").glob("seed-*/told"))) == 2)
        write_request(project / "runs/demo/.requests", Request(run_id(project), stop_trial=1))

    with meanwhile(stop):
        result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert (result.trials[1].reason, result.trials[1].value) == ("stopped by the user", 0.25)
    assert not (project / "runs/demo/trial-0001/seed-2").exists()


def test_a_pruned_trial_starts_no_further_repeat_and_prunes_those_that_run(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import time
        import sweep

        def train(trial):
            # Trial 0 reports at every step at which trial 1 can be compared with it.
            for step in range(1000):
                trial.report(trial.number, step)
                if trial.number and trial.should_prune():
                    print("pruned")
                    raise sweep.TrialPruned
                time.sleep(0.02 * trial.number)
            return trial.number
        """,
        stop={"trials": 2},
        repeats=3,
        max_parallel=2,
        pruner={"type": "median", "startup_trials": 1, "warmup_steps": 2},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "PRUNED"]
    runs = sorted(path.name for path in result.trials[1].directory.iterdir())
    assert runs[0] == "seed-0"
    assert "seed-2" not in runs
    for run in runs:
        assert (result.trials[1].directory / run / "output.log").read_text() == "pruned\n"


def test_the_controller_can_die_at_any_time_with_repeats_too(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            while trial.number >= 8 and not pathlib.Path("go").exists():
                time.sleep(0.05)
            for step in range(10):
                trial.report(trial.number + step + trial.repeat / 8, step)
                trial.should_prune()
                time.sleep(0.05)
            return trial.number + trial.repeat
        """,
        stop={"trials": 10},
        repeats=3,
        max_parallel=4,
    )
    starts = Starts()

    def kill() -> None:
        for least in (3, 10, 18):
            wait_for(lambda least=least: len(starts.seen) > least)  # type: ignore[misc]
            wait_for(lambda: find("ray::RayController", anywhere=False))
            for process in find("ray::RayController", anywhere=False):
                process.kill()

    with meanwhile(kill, Path("go").touch):
        result = sweep.run(file, observer=starts)
    assert [(trial.state, trial.value, trial.attempts) for trial in result.trials] == [
        ("COMPLETE", number + 1.0, 1) for number in range(10)
    ]
    assert len(starts.seen) == 30, "no repeat was started twice"
    for trial in result.study.trials:
        assert trial.intermediate_values == {step: float(trial.number + step) for step in range(10)}
