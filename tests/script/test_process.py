"""Starting a script, and terminating all its processes."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import sweep
from sweep.trial.trial import Trial
from tests.commands import PATIENCE, sweep_command
from tests.script.conftest import MakeScript, is_alive, output, run

pytestmark = pytest.mark.process


def test_pruning_terminates_a_script_that_ignores_sigterm_and_its_children(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.script.process._GRACE", 0.5)
    file = make_script(
        """
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        number = int(os.environ["SWEEP_TRIAL_DIR"][-1])
        if number == 2:
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            open("pids", "w").write(f"{os.getpid()} {child.pid}")
        for step in range(6000 if number == 2 else 300):
            print('{"step": %d, "val_loss": %d}' % (step, number))
            time.sleep(0.1 if number == 2 else 0)
        """,
        stop={"trials": 3},
        pruner={"type": "median", "startup_trials": 2},
    )
    begin = time.monotonic()
    result = run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert time.monotonic() - begin < 500
    assert not any(is_alive(int(pid)) for pid in (project / "pids").read_text().split())


def test_child_processes_that_a_script_leaves_running_are_terminated(
    make_script: MakeScript, project: Path
) -> None:
    file = make_script(
        """
        import subprocess
        child = subprocess.Popen(["sleep", "600"])
        open("pid", "w").write(str(child.pid))
        print('{"val_loss": 1}')
        """
    )
    begin = time.monotonic()
    assert run(file).trials[0].state == "COMPLETE"
    assert time.monotonic() - begin < 500, "the child keeps the pipe open"
    assert not is_alive(int((project / "pid").read_text()))


def test_a_script_that_exits_just_before_it_would_be_interrupted_is_complete(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_end(trial: Trial) -> bool:
        while not (project / "pid").exists() or is_alive(int((project / "pid").read_text())):
            time.sleep(0.05)
        return True

    monkeypatch.setattr(Trial, "must_end", must_end)
    file = make_script(
        """
        import os, time
        print('{"val_loss": 1}', flush=True)
        time.sleep(2)  # until must_end is called for the first time
        open("pid.tmp", "w").write(str(os.getpid()))
        os.rename("pid.tmp", "pid")
        """
    )
    (trial,) = run(file).trials
    assert (trial.state, trial.value) == ("COMPLETE", 1.0)


SLEEPS = """
    import os, time
    print('{"val_loss": 1}')
    open("pid.tmp", "w").write(str(os.getpid()))
    os.rename("pid.tmp", "pid")
    time.sleep(600)
"""


def wait_for_pid(project: Path) -> int:
    """Wait until the script SLEEPS is running; returns its pid."""
    end = time.monotonic() + PATIENCE
    while not (project / "pid").exists() and time.monotonic() < end:
        time.sleep(0.02)
    return int((project / "pid").read_text())


def test_ctrl_c_terminates_the_script(make_script: MakeScript, project: Path) -> None:
    command = sweep_command("run", make_script(SLEEPS), "--inline")
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    script = psutil.Process(wait_for_pid(project))
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE) == 130
    assert not script.is_running()


@pytest.mark.parametrize("option", ["--inline", pytest.param("--parallel=1", marks=pytest.mark.ray)])
def test_a_script_is_killed_with_its_sweep(option: str, make_script: MakeScript, project: Path) -> None:
    command = sweep_command("run", make_script(SLEEPS), option)
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    script = wait_for_pid(project)
    running.kill()
    running.wait()
    end = time.monotonic() + PATIENCE
    while is_alive(script) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_alive(script)


def test_ctrl_c_terminates_a_script_that_is_being_started(
    make_script: MakeScript, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **keys: Any) -> None:
            super().__init__(*args, **keys)
            wait_for_pid(project)
            signal.raise_signal(signal.SIGINT)

    file = make_script(SLEEPS)
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(file)
    assert not is_alive(wait_for_pid(project))


def test_a_double_forked_process_is_terminated(make_script: MakeScript, project: Path) -> None:
    file = make_script(
        """
        import os, signal, sys, time
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                open("pid.tmp", "w").write(str(os.getpid()))
                os.rename("pid.tmp", "pid")
                time.sleep(600)
            os._exit(0)
        while not os.path.exists("pid"):
            time.sleep(0.01)
        print('{"val_loss": 1}')
        sys.stdout.flush()
        os._exit(3)
        """
    )
    begin = time.monotonic()
    trial = run(file).trials[0]
    assert trial.reason == "exit status 3"
    assert time.monotonic() - begin < 120
    assert not is_alive(int((project / "pid").read_text()))


def test_an_argument_that_is_too_long_is_named(make_script: MakeScript) -> None:
    file = make_script("pass", parameters={"text": "x" * 200_000, "lr": {"min": 0.0, "max": 1.0}})
    (trial,) = run(file).trials
    assert trial.reason is not None
    assert re.search(r"too long: --text=x+\.\.\. has 200007 characters; \$\{args_json_file\}", trial.reason)


@pytest.mark.usefixtures("ray_cluster")
def test_on_ray_a_script_that_exceeds_its_timeout_is_terminated_even_without_its_environment(
    make_script: MakeScript, project: Path
) -> None:
    file = make_script(
        "",
        program=None,
        command=["sh", "-c", "echo $$ > pid; exec env -i sleep 600"],
        trial={"timeout": 10},
    )
    (trial,) = sweep.run(file).trials
    assert (trial.state, trial.reason) == ("FAIL", "ran longer than 10 s")
    assert not is_alive(int((project / "pid").read_text()))


@pytest.mark.usefixtures("ray_cluster")
def test_on_ray_scripts_run_and_are_pruned(make_script: MakeScript) -> None:
    file = make_script(
        """
        import os, time
        number = int(os.environ["SWEEP_TRIAL_DIR"][-1])
        os.write(2, b"on stderr %d\\n" % number)  # one write, so that the streams do not mix
        if number == 3:
            raise SystemExit(5)
        for step in range(6000 if number == 2 else 300):
            print('{"step": %d, "val_loss": %d}' % (step, number))
            time.sleep(0.1 if number == 2 else 0)
        """,
        stop={"trials": 4},
        max_parallel=1,
        pruner={"type": "median", "startup_trials": 2},
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert result.trials[3].reason == "exit status 5: on stderr 3"
    assert sorted(output(result).splitlines()) == sorted(
        [b"on stderr 0", *(b'{"step": %d, "val_loss": 0}' % step for step in range(300))]
    )


@pytest.mark.usefixtures("ray_cluster")
def test_on_ray_a_script_has_its_gpu_its_directory_and_a_time_limit_for_expressions(
    make_script: MakeScript,
) -> None:
    file = make_script(
        """
        import os, time
        trial = os.environ["SWEEP_TRIAL_DIR"]
        assert os.getcwd() == trial == os.environ["OUT"]
        print("gpu", os.environ["CUDA_VISIBLE_DEVICES"])
        print("loss 0.5")
        if trial.endswith("1"):
            print("a" * 60)
            time.sleep(60)
        """,
        resources={"gpu": 1},
        cwd="${trial_dir}",
        env={"OUT": "${trial_dir}"},
        metrics_from={"regex": ["loss (?P<val_loss>.*)", "(?P<x>(a+)+)$b"]},
        stop={"trials": 2},
        max_parallel=1,
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "FAIL"], result.trials
    assert re.search(rb"^gpu [0-3]$", output(result), re.MULTILINE)
    assert "takes more than 5 s" in str(result.trials[1].reason)
