"""Trials on a real Ray, in real worker processes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import sweep
from sweep.engine.observer import Observer
from tests.commands import PATIENCE, UNNEEDED_LIBRARIES
from tests.conftest import MakeSweep

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_an_objective_that_raises_in_a_third_of_its_trials_does_not_stop_the_sweep(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(
        """
        def train(trial):
            if trial.number % 3 == 0:
                raise ValueError(f"number {trial.number} is invalid")
            return trial.params.x
        """,
        stop={"trials": 9},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["FAIL", "COMPLETE", "COMPLETE"] * 3
    failed = result.trials[3]
    assert failed.reason == "ValueError: number 3 is invalid"
    text = (failed.directory / "error.txt").read_text()
    assert "ValueError: number 3 is invalid" in text
    assert "demo_objective.py" in text
    assert "attempt.py" not in text, "frames of this package are removed"
    assert not (result.trials[1].directory / "error.txt").exists()


def test_a_trial_that_kills_its_process_fails_alone(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os, signal

        def train(trial):
            trial.report(0.5, 0)
            if trial.number == 2:
                print("last line", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            return trial.params.x
        """,
        max_parallel=2,
        trial={"retries": 0},
    )
    result = sweep.run(file)
    states = [trial.state for trial in result.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    killed = result.trials[2]
    assert killed.reason is not None
    assert "crashed or was killed" in killed.reason
    assert killed.metrics["loss"] == 0.5, "its reports are kept"
    assert (killed.directory / "output.log").read_text() == "last line\n"


def test_a_trial_that_exceeds_its_timeout_is_killed_and_its_slot_runs_others(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        def train(trial):
            while trial.number == 1:
                pass
            return trial.params.x
        """,
        max_parallel=1,
        stop={"trials": 3},
        trial={"timeout": 20},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert result.trials[1].reason == "ran longer than 20 s"


def test_a_crashed_attempt_runs_again_under_the_same_number(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os, pathlib

        def train(trial):
            seen = pathlib.Path(trial.directory, "seen")
            seen.write_text(seen.read_text() + f"{trial.seed}\\n" if seen.exists() else f"{trial.seed}\\n")
            if trial.number == 1 and len(seen.read_text().split()) < 3:
                os._exit(7)
            return trial.params.x
        """,
        stop={"trials": 3},
        trial={"retries": 2},
        max_parallel=2,
    )
    result = sweep.run(file)
    assert [(trial.state, trial.attempts) for trial in result.trials] == [
        ("COMPLETE", 1),
        ("COMPLETE", 3),
        ("COMPLETE", 1),
    ]
    seeds = (result.trials[1].directory / "seen").read_text().split()
    assert len(seeds) == 3
    assert len(set(seeds)) == 1, "every attempt has the same seed"


def test_at_the_time_limit_running_trials_are_interrupted_and_a_later_limit_resumes_them(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            trial.report(trial.params.x, 0)
            while trial.number and not pathlib.Path("go").exists():
                time.sleep(0.05)
            return trial.params.x
        """,
        stop={"hours": 40 / 3600, "trials": 3},  # starting the workers may take a quarter of it
        max_parallel=2,
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "WAITING", "WAITING"]
    Path("go").touch()
    again = sweep.run(file, overrides={"stop.hours": 1})
    assert [(trial.state, trial.attempts) for trial in again.trials] == [
        ("COMPLETE", 1),
        ("COMPLETE", 2),
        ("COMPLETE", 2),
    ]
    assert again.trials[0] == result.trials[0]


def test_pruned_trials_keep_their_intermediate_values(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import sweep

        def train(trial):
            for step in range(5):
                trial.report(trial.number + step / 10, step)
                if trial.should_prune():
                    raise sweep.TrialPruned
            return trial.number
        """,
        pruner={"type": "median", "startup_trials": 2, "warmup_steps": 1},
        max_parallel=1,
    )
    result = sweep.run(file)
    pruned = [trial for trial in result.study.trials if trial.state == optuna.trial.TrialState.PRUNED]
    # 2.1 is worse than the median of 0.1 and 1.1 at step 1, and so is every later trial.
    assert [trial.number for trial in pruned] == [2, 3, 4, 5]
    assert pruned[0].intermediate_values == {0: 2.0, 1: 2.1}
    assert pruned[0].value == 2.1


@pytest.mark.parametrize("bad", ["float('nan')", "'text'", "None", "{'other': 1.0}"])
def test_a_result_that_is_not_a_number_is_a_failure(make_sweep: MakeSweep, bad: str) -> None:
    file = make_sweep(f"def train(trial):\n    return {bad} if trial.number else 1.0\n", stop={"trials": 2})
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "FAIL"]
    assert result.trials[1].reason


def test_plain_optuna_reads_the_journal(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        def train(trial):
            for step in range(10):
                trial.report(trial.params.x + step, step)
            return trial.params.x
        """
    )
    result = sweep.run(file)
    storage = JournalStorage(JournalFileBackend(str(result.directory / "journal.log")))
    study = optuna.load_study(study_name=None, storage=storage)
    assert study.study_name == "demo"
    assert [(t.number, t.value, t.params) for t in study.trials] == [
        (row.number, row.value, row.params) for row in result.trials
    ]
    assert all(len(trial.intermediate_values) == 10 for trial in study.trials)
    assert study.best_params == result.best_params


def test_with_half_a_gpu_each_eight_trials_run_on_four_gpus_and_see_only_their_own(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(
        """
        import json, os, pathlib, time

        def train(trial):
            here = pathlib.Path(trial.directory).parent
            (here / f"up-{trial.number}").touch()
            for _ in range(2400):  # all eight must run at the same time
                if len(list(here.glob("up-*"))) == 8:
                    break
                time.sleep(0.05)
            else:
                raise TimeoutError
            seen = {"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "device": trial.device}
            pathlib.Path(trial.directory, "seen.json").write_text(json.dumps(seen))
            return trial.params.x
        """,
        resources={"cpu": 1, "gpu": 0.5},
        stop={"trials": 8},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 8
    seen = [json.loads((trial.directory / "seen.json").read_text()) for trial in result.trials]
    assert Counter(one["gpu"] for one in seen) == {"0": 2, "1": 2, "2": 2, "3": 2}
    assert {one["device"] for one in seen} == {"cuda"}


def test_a_worker_imports_only_what_its_trials_need_and_has_as_many_threads_as_cores(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    file = make_sweep(
        """
        import json, os, pathlib, sys

        def train(trial):
            trial.writer.add_histogram("h", [1.0, 2.0], 0)
            seen = {
                "modules": sorted(sys.modules),
                "threads": os.environ["OMP_NUM_THREADS"],
                "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
                "device": trial.device,
            }
            pathlib.Path(trial.directory, "seen.json").write_text(json.dumps(seen))
            return trial.params.x
        """,
        resources={"cpu": 3},
        stop={"trials": 2},
    )
    result = sweep.run(file)
    for trial in result.trials:
        seen = json.loads((trial.directory / "seen.json").read_text())
        modules = set(seen.pop("modules")) - {"pyarrow"}  # Ray imports it where it is installed
        assert modules & {*UNNEEDED_LIBRARIES, "optuna", "rich", "typer", "sweep.sweepfile.model"} == set()
        assert seen == {"threads": "3", "gpu": "", "device": "cpu"}


@pytest.mark.parametrize("is_script", [False, True], ids=["function", "script"])
@pytest.mark.parametrize("place", ["file", "environment"])
def test_threads_that_the_user_has_set_count(
    make_sweep: MakeSweep, project: Path, monkeypatch: pytest.MonkeyPatch, place: str, is_script: bool
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2" if place == "environment" else "1")
    look = (
        "import json, os, torch\n"
        "names = ('OMP', 'MKL', 'OPENBLAS')\n"
        "seen = [torch.get_num_threads(), *(os.environ.get(f'{name}_NUM_THREADS') for name in names)]\n"
    )
    keys: dict[str, object] = {"env": {"OMP_NUM_THREADS": 2}} if place == "file" else {}
    if is_script:
        (project / "script.py").write_text(look + "print(json.dumps({'loss': 1.0})); print(seen)")
        keys |= {"objective": None, "program": "script.py"}
    file = make_sweep(
        f"{look}def train(trial):\n    print(seen)\n    return 1.0\n", **keys, stop={"trials": 1}
    )
    result = sweep.run(file)
    output = (result.directory / "trial-0000/output.log").read_text()
    assert output.splitlines()[-1] == "[2, '2', None, None]"


def test_a_worker_is_replaced_if_a_trial_leaves_what_cannot_be_restored(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import multiprocessing, os, threading, time

        def wait():
            time.sleep(300)

        def train(trial):
            multiprocessing.set_start_method("spawn")  # raises if it is set already
            if trial.number == 1:
                threading.Thread(target=wait, daemon=True).start()
            return os.getpid()
        """,
        max_parallel=1,
        stop={"trials": 4},
    )
    first, second, third, fourth = (trial.value for trial in sweep.run(file).trials)
    assert first == second != third == fourth


def test_trials_of_one_worker_are_isolated_from_each_other(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os, random, subprocess, sys
        import numpy

        def train(trial):
            print("hello from", trial.number, os.getcwd(), os.environ.get("LEFT"))
            print("on stderr", file=sys.stderr)
            subprocess.run(["echo", "a child of", str(trial.number)])
            os.chdir("/")
            os.environ["LEFT"] = "over"
            trial.writer.close()  # has no effect
            return random.random() + numpy.random.random()
        """,
        max_parallel=1,
        stop={"trials": 3},
    )
    result = sweep.run(file)
    for trial in result.trials:
        output = (trial.directory / "output.log").read_text()
        assert output == (
            f"hello from {trial.number} {os.getcwd()} None\non stderr\na child of {trial.number}\n"
        )
    again = sweep.run(file, fresh=True)
    values = [trial.value for trial in result.trials]
    assert len(set(values)) == 3
    assert [trial.value for trial in again.trials] == values, "the seed depends on the trial number"


def test_a_thread_that_outlives_its_trial_does_not_report_to_the_next_trial(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import threading, time

        def nag(trial):
            for step in range(1000):
                trial.report(99.0, 1000 + step)
                trial.writer.add_scalar("nag", 99.0, step)
                time.sleep(0.002)

        def train(trial):
            if trial.number == 0:
                threading.Thread(target=nag, args=(trial,), daemon=True).start()
            for step in range(5):
                trial.report(trial.number, step)
                time.sleep(0.05)
            return trial.number
        """,
        max_parallel=1,
        stop={"trials": 3},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 3
    for trial in result.study.trials[1:]:
        assert trial.intermediate_values == {step: float(trial.number) for step in range(5)}


def test_an_objective_that_cannot_be_imported_stops_the_sweep_with_its_traceback(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep("import there_is_no_such_module\n\ndef train(trial): ...\n")
    with pytest.raises(
        sweep.SweepError, match="ModuleNotFoundError: No module named 'there_is_no_such_module'"
    ):
        sweep.run(file)


def test_a_trial_that_fits_on_no_machine_is_an_error_and_nothing_is_written(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = make_sweep("def train(trial): ...", resources={"gpu": 5})
    with pytest.raises(sweep.InputError, match="no machine has cpu: 1, gpu: 5 for a trial"):
        sweep.run(file)
    assert not (project / "runs").exists()


def test_the_user_is_notified_once_if_other_jobs_use_all_resources(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.ray.capacity.CHECK_EVERY", 0.6)
    end = time.monotonic() + PATIENCE  # an earlier sweep may still be shutting down
    while (free := ray.available_resources()).get("CPU") != 8 or free.get("GPU") != 4:
        assert time.monotonic() < end, free
        time.sleep(0.1)
    other = ray.remote(dict).options(num_cpus=7).remote()
    ray.get(other.__ray_ready__.remote())
    notes: list[str] = []

    class Shows(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)
            timer.start()  # a second note would fail here: a timer starts once

    timer = threading.Timer(2, ray.kill, [other])
    file = make_sweep("def train(trial): return trial.params.x", resources={"cpu": 2}, stop={"trials": 2})
    result = sweep.run(file, observer=Shows())
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 2
    (note,) = notes
    assert "each trial needs cpu: 2, gpu: 0, and this Ray cluster has cpu: 1, gpu: 4 free" in note


def test_ray_and_dying_workers_print_nothing_to_the_terminal(
    make_sweep: MakeSweep, capfd: pytest.CaptureFixture[str]
) -> None:
    file = make_sweep(
        """
        import os, time

        def train(trial):
            print("this goes to output.log")
            if trial.number == 0:
                os.kill(os.getpid(), 9)
            time.sleep(1.5)  # enough time for Ray to print
            return 1.0
        """,
        stop={"trials": 2},
        max_parallel=1,
    )
    sweep.run(file)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_trials_get_verdicts_while_the_sampler_is_busy(make_sweep: MakeSweep, project: Path) -> None:
    """The sampler waits until a trial has its verdict, and that trial waits until the sampler is busy."""
    wait = f"""
import time
from pathlib import Path

BUSY, VERDICT = Path({str(project)!r}, "busy"), Path({str(project)!r}, "verdict")


def wait_for(path):
    end = time.monotonic() + {PATIENCE}
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
"""
    sampler = """
import optuna


class Waiting(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        if trial.number == 2:
            BUSY.touch()
            wait_for(VERDICT)
        return super().sample_independent(study, trial, name, distribution)
"""
    objective = """
def train(trial):
    wait_for(BUSY)
    trial.report(trial.params.x, 0)
    trial.should_prune()
    VERDICT.touch()
    return trial.params.x
"""
    (project / "waiting_sampler.py").write_text(wait + sampler)
    file = make_sweep(wait + objective, sampler="waiting_sampler:Waiting", stop={"trials": 4})
    assert [trial.state for trial in sweep.run(file).trials] == ["COMPLETE"] * 4
