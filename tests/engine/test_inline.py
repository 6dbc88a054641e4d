"""The inline engine: trials in the calling process, without Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

import sweep
from sweep.engine.inline import _StorageWait
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from tests.conftest import MakeSweep
from tests.tensorboard_client import logged_metrics, status, tensorboard


@pytest.mark.process
def test_ray_is_neither_imported_nor_started_and_results_are_the_same(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = make_sweep(
        """
        import sweep

        def train(trial):
            trial.report(trial.params.x, 0)
            if trial.number == 1:
                raise sweep.TrialPruned
            if trial.number == 2:
                raise SystemExit(3)
            return trial.params.x
        """,
        stop={"trials": 4},
    )
    code = (
        f"import sweep, sys; r = sweep.run({str(file)!r}, inline=True); "
        "print([t.state for t in r.trials]); print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['COMPLETE', 'PRUNED', 'FAIL', 'COMPLETE']", "False"]


def test_one_note_names_the_options_that_have_no_effect(make_sweep: MakeSweep) -> None:
    notes: list[str] = []

    class Notes(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)

    file = make_sweep("def train(trial): return 1.0", stop={"trials": 1})
    sweep.run(file, inline=True, observer=Notes())
    assert notes == []
    rules = {"timeout": 60, "isolate": True, "recycle_after": 5, "recycle_at_gb": 2}
    sweep.run(
        file,
        name="other",
        inline=True,
        address="auto",
        grace=5,
        trial=rules,
        max_parallel=2,
        resources={"cpu": 2, "gpu": 0.5},
        observer=Notes(),
    )
    (note,) = notes
    assert note == (
        "inline, trials run one after another in this process, which ignores max_parallel, resources.cpu, "
        "resources.gpu (except that trial.device is a GPU), trial.timeout, trial.recycle_after, "
        "trial.recycle_at_gb, trial.isolate, address='auto', grace=5.0"
    )


def test_output_is_printed_and_saved(make_sweep: MakeSweep, capsys: pytest.CaptureFixture[str]) -> None:
    file = make_sweep("def train(trial):\n    print('hello')\n    return 1.0\n", stop={"trials": 1})
    result = sweep.run(file, inline=True)
    assert capsys.readouterr().out == "hello\n"
    assert (result.directory / "trial-0000" / "output.log").read_text() == "hello\n"


def test_the_working_directory_and_environment_of_the_caller_are_restored(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os

        def train(trial):
            os.chdir("/")
            os.environ["LEFT_BEHIND"] = "yes"
            return 1.0
        """,
        stop={"trials": 1},
    )
    here = os.getcwd()
    sweep.run(file, inline=True)
    assert os.getcwd() == here
    assert "LEFT_BEHIND" not in os.environ


@pytest.mark.process
def test_breakpoint_works(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        "def train(trial):\n    secret = 41\n    breakpoint()\n    return secret\n", stop={"trials": 1}
    )
    done = subprocess.run(
        [sys.executable, "-c", "from sweep.cli import main; main()", "run", str(file), "--inline"],
        input="p secret + 1\nc\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONBREAKPOINT": ""},
    )
    assert "42" in done.stdout
    assert "COMPLETE" in done.stdout


@pytest.mark.process
def test_the_sweep_continues_whatever_an_objective_raises_or_deletes(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import asyncio, shutil

        class Mute(RuntimeError):
            def __str__(self):
                raise RuntimeError

        class Odd(BaseException):
            pass

        def train(trial):
            if trial.number == 0:
                raise Mute
            if trial.number == 1:
                raise Odd("how odd")
            if trial.number == 2:
                raise asyncio.CancelledError
            if trial.number == 3:
                trial.set_user_attr("file", "caf\\udce9.txt")
                raise FileNotFoundError("caf\\udce9.txt")
            shutil.rmtree(trial.directory)
            return 1.0
        """,
        stop={"trials": 5},
    )
    result = sweep.run(file, inline=True)
    assert [trial.state for trial in result.trials] == ["FAIL"] * 4 + ["COMPLETE"]
    reasons = ["Mute", "Odd: how odd", "CancelledError", r"FileNotFoundError: caf\udce9.txt", None]
    assert [trial.reason for trial in result.trials] == reasons
    assert result.study.trials[3].user_attrs["file"] == "caf?.txt"
    with tensorboard(result.directory) as board:
        rows = board.wait_for_rows(5)
    assert [status(row) for row in rows] == ["STATUS_FAILURE"] * 4 + ["STATUS_SUCCESS"]


@pytest.mark.parametrize("end", ["sys.exit(1)", "return 1.0", "raise trial_pruned"])
def test_the_result_of_an_objective_that_catches_ctrl_c_is_not_an_outcome(
    make_sweep: MakeSweep, end: str
) -> None:
    """Lightning catches it and exits."""
    file = make_sweep(
        f"""
        import os, signal, sys
        from optuna import TrialPruned as trial_pruned

        def train(trial):
            if not os.path.exists("again"):
                try:
                    signal.raise_signal(signal.SIGINT)
                except KeyboardInterrupt:
                    {end}
            return 2.0
        """,
        stop={"trials": 2},
    )
    with pytest.raises(KeyboardInterrupt):
        sweep.run(file, inline=True)
    Path("again").touch()
    result = sweep.run(file, inline=True)
    assert [(trial.state, trial.value) for trial in result.trials] == [("COMPLETE", 2.0)] * 2


@pytest.mark.process
@pytest.mark.parametrize("fast", [True, False], ids=["data server", "python loader"])
def test_table_and_tensorboard_agree_on_retried_and_oddly_reported_trials(
    make_sweep: MakeSweep, fast: bool
) -> None:
    file = make_sweep(
        """
        import pathlib
        import sweep

        def train(trial):
            first = not pathlib.Path(f"seen-{trial.number}").exists()
            pathlib.Path(f"seen-{trial.number}").touch()
            if trial.number == 3:  # steps not in order
                trial.report(0.9, 10)
                trial.report(0.1, 3)
                return None
            if first:
                for step in range(10):
                    trial.log({"loss": step / 100, "only in the first": 1.0}, step)
                raise ValueError
            trial.report(5.0, 0)
            assert not trial.should_prune(), "reports of the first attempt do not count"
            trial.writer.add_hparams({"lr": 1.0}, {"late": 2.0})
            if trial.number == 0:
                return 3.0
            trial.report(4.0, 1)
            raise ValueError("again")
        """,
        trial={"retries": 1, "retry_on": ["error"]},
        stop={"trials": 4},
        pruner={"type": "median", "startup_trials": 0},
    )
    result = sweep.run(file, inline=True)
    assert [(trial.state, trial.attempts) for trial in result.trials] == [
        ("COMPLETE", 2),
        ("FAIL", 2),
        ("FAIL", 2),
        ("COMPLETE", 1),
    ]
    assert result.trials[0].metrics == {"loss": 3.0, "best/loss": 3.0, "late": 2.0}
    assert result.trials[1].metrics == {"loss": 4.0, "best/loss": 4.0, "late": 2.0}
    with tensorboard(result.directory, fast) as board:
        rows = board.wait_for_rows(4)
    assert len(rows) == 4
    for row, trial in zip(rows, result.trials, strict=True):
        shown = {name: value for name, value in trial.metrics.items() if name in ("loss", "best/loss")}
        assert logged_metrics(row) == pytest.approx(shown, rel=1e-6)


def test_repeats_run_one_after_another(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import random
        import sweep

        def train(trial):
            for step in range(3):
                trial.report(trial.number * 10 + step, step)
                if trial.should_prune():
                    raise sweep.TrialPruned
            return random.random()
        """,
        stop={"trials": 3},
        repeats={"seeds": [11, 12]},
        pruner={"type": "median", "startup_trials": 1, "warmup_steps": 1},
    )
    first, second, third = sweep.run(file, inline=True).trials
    assert first.repeats is not None
    assert first.value == pytest.approx(sum(filter(None, first.repeats)) / 2)
    assert len(set(first.repeats)) == 2, "each was seeded with its own seed"
    assert [trial.state for trial in (first, second, third)] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert [path.name for path in second.directory.iterdir()] == ["seed-11"]


def test_a_note_says_what_a_trial_has_left_in_this_process_and_which_variables_come_too_late(
    make_sweep: MakeSweep,
) -> None:
    code = """
        import threading, time

        def wait():
            time.sleep(5)

        def train(trial):
            threading.Thread(target=wait, name="mine", daemon=True).start()
            return 1.0
    """
    notes: list[str] = []

    class Notes(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)

    file = make_sweep(code, stop={"trials": 2}, env={"OMP_NUM_THREADS": 2, "OTHER": 3})
    sweep.run(file, inline=True, observer=Notes())
    variables, left = notes
    assert variables.startswith("env: OMP_NUM_THREADS: numpy is imported already")
    assert left.startswith(
        "trial 0 changed this process for the later ones: RuntimeError: the thread mine is"
    )


def test_a_process_in_which_a_gpu_has_failed_counts_as_changed(make_sweep: MakeSweep) -> None:
    """Its worker is replaced: with JAX or CuPy nothing else shows that the process cannot use the GPU."""
    observer = Mock(spec=Observer)
    code = """
        def train(trial):
            if trial.number == 0:
                raise RuntimeError("INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access")
            return 1.0
    """
    sweep.run(make_sweep(code, stop={"trials": 2}), inline=True, observer=observer)
    ((note,),) = (call.args for call in observer.on_note.call_args_list)
    assert note == (
        "trial 0 changed this process for the later ones: a GPU that may be unusable now (RuntimeError: "
        "INTERNAL: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access); on Ray its worker would be replaced"
    )


def test_waiting_for_the_database_is_noted_and_ends_at_the_first_interruption(
    make_sweep: MakeSweep, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.engine.inline._NOTE_AFTER", 0.2)
    monkeypatch.setattr("sweep.study.database._CONNECT_ARGUMENTS", {"sqlite": {"timeout": 0.1}})
    code = """
        import sqlite3

        def train(trial):
            if trial.number == 1:
                busy = sqlite3.connect("study.db")
                busy.execute("BEGIN EXCLUSIVE")
                trial.report(1.0, 0)
            return 1.0
    """
    notes: list[str] = []

    class Notes(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)
            signal.raise_signal(signal.SIGINT)

    file = make_sweep(code, storage="sqlite:///study.db", stop={"trials": 3})
    with pytest.raises(KeyboardInterrupt, match=r"resume with: sweep.run\("):
        sweep.run(file, inline=True, observer=Notes())
    assert notes == ["storage: sqlite:///study.db does not answer; the sweep waits for it for 10 min"]


def test_an_answer_of_the_database_after_a_note_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.engine.inline._NOTE_AFTER", 0.0)
    notes: list[str] = []

    class Notes(Observer):
        def on_note(self, text: str) -> None:
            notes.append(text)

    wait = _StorageWait("postgresql://me:secret@host/db", Notes(), Interruption())
    for is_waiting in (True, True, True, False, True, False):
        wait(is_waiting)
    assert notes == [
        "storage: postgresql://me:***@host/db does not answer; the sweep waits for it for 10 min",
        "storage: answers again, after 0 s",
    ]


def test_a_trial_that_waits_for_its_next_attempt_can_be_stopped(make_sweep: MakeSweep) -> None:
    code = """
        from pathlib import Path
        from sweep.controller.requests import Request, write_request

        def train(trial):
            if trial.number == 0:
                write_request(trial.directory.parent / ".requests", Request(stop_trial=0))
                raise ValueError("no data yet")
            return 1.0
    """
    file = make_sweep(code, stop={"trials": 2}, trial={"retry_on": ["error"], "backoff": 600})
    stopped, complete = sweep.run(file, inline=True).trials
    assert (stopped.state, stopped.reason) == ("PRUNED", "stopped by the user")
    assert complete.state == "COMPLETE"
