"""Sweeps that were killed, stopped or ran out of disk space are resumed by the same command."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import sweep
from tests.commands import call, sweep_command
from tests.conftest import MakeSweep
from tests.tensorboard_client import logged_metrics, tensorboard

pytestmark = pytest.mark.process


LONG = str(10**7 + os.getpid())
"""A duration in seconds that identifies the `sleep` processes of this test run."""
STEPS = """
import os, pathlib, subprocess, time

def train(trial):
    found = trial.checkpoint.latest()
    child = subprocess.Popen(["sleep", "LONG"], start_new_session=True, stdin=subprocess.DEVNULL)
    for step in range(found.step + 1 if found else 0, 20):
        trial.report(20 - step, step)
        with open("diary.txt", "a") as diary:
            diary.write(f"{time.time()} {os.environ.get('SWEEP_TEST_MARK', '-')} {trial.number} {step}\\n")
        if step % 4 == 3:
            with trial.checkpoint.save(step):
                pass
        time.sleep(0.1)
        while step == 5 and os.path.exists("hold") and not trial.must_end():
            time.sleep(0.05)
    return trial.params.x
""".replace("LONG", LONG)


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while True:
        with suppress(sweep.SweepError, IndexError):  # the study or the trial does not exist yet
            if condition():
                return
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def diary() -> list[list[str]]:
    path = Path("diary.txt")
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def rows() -> list[dict[str, Any]]:
    """The output of `sweep trials demo --format json`, without the cost of the command."""
    return [row.to_dict() for row in sweep.load("demo").trials]


def start(*arguments: object, mark: str = "-") -> subprocess.Popen[str]:
    return subprocess.Popen(
        sweep_command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "SWEEP_TEST_MARK": mark},
    )


def marked(mark: str) -> list[str]:
    """The command lines of running processes that inherited the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SWEEP_TEST_MARK") == mark:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_after_a_kill_the_same_command_waits_for_surviving_processes_and_loses_nothing(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(STEPS, stop={"trials": 8}, max_parallel=2)
    for run, moment in enumerate((0.5, 3.0, None)):
        driver = start("run", file, "--quiet", mark=str(run))
        if moment is None:  # while trials are running
            wait_for(lambda: Path("runs/demo/journal.log").exists())
            wait_for(lambda: any(row["state"] == "COMPLETE" for row in rows()))
        else:
            time.sleep(moment)
        driver.kill()
        driver.wait()
    last = start("run", file, mark="3")
    before = {row["number"]: row for row in rows() if row["state"] == "COMPLETE"}
    assert before
    out, _ = last.communicate(timeout=180)
    assert last.returncode == 0, out
    after = rows()
    assert [(row["number"], row["state"]) for row in after] == [(n, "COMPLETE") for n in range(8)]
    assert all(after[number] == row for number, row in before.items()), "complete trials are unchanged"
    runs = [int(run) for _, run, _, _ in sorted(diary(), key=lambda line: float(line[0]))]
    assert runs == sorted(runs), "an old run writes nothing during a new one"
    assert runs[-1] == 3
    assert not any(LONG in line for line in _all_commands())


@pytest.mark.usefixtures("joining")
def test_after_a_kill_finished_repeats_are_kept_and_the_others_are_resumed(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        STEPS.replace("{trial.number}", "{trial.number}/{trial.repeat}").replace(
            "trial.params.x", "trial.repeat"
        ),
        stop={"trials": 4},
        repeats=3,
        max_parallel=2,
    )
    driver = start("run", file, "--quiet")

    def half_done() -> list[dict[str, Any]]:
        return [
            row for row in rows() if row["state"] == "RUNNING" and any(x is not None for x in row["repeats"])
        ]

    wait_for(lambda: Path("runs/demo/journal.log").exists())
    wait_for(half_done)
    driver.kill()
    driver.wait()
    before, written = rows(), len(diary())
    finished = {
        f"{row['number']}/{repeat}"
        for row in before
        for repeat, value in enumerate(row["repeats"])
        if value is not None
    }
    assert finished
    call("run", file, "--quiet")
    after = rows()
    assert [(row["state"], row["value"], row["repeats"]) for row in after] == [
        ("COMPLETE", 1.0, [0.0, 1.0, 2.0])
    ] * 4
    assert not finished & {run for _, _, run, _ in diary()[written:]}, "finished repeats were not run again"
    steps = [f"{number}/{repeat}" for number in range(4) for repeat in range(3)]
    for run in steps:
        mine = [int(step) for _, _, ran, step in diary() if ran == run]
        assert sorted(set(mine)) == list(range(20))
        assert mine.count(0) == 1 or 4 not in mine[: mine.index(0, 1)], "it resumed from its checkpoint"
    assert not any(LONG in line for line in _all_commands())


def _all_commands() -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.mark.usefixtures("joining")
def test_one_of_two_simultaneous_runs_is_refused(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            while not pathlib.Path("go").exists():
                time.sleep(0.05)
            return trial.params.x
        """,
        stop={"trials": 2},
    )
    drivers = [start("run", file) for _ in range(2)]
    wait_for(lambda: any(driver.poll() is not None for driver in drivers))
    third = call("run", file, status=2)
    assert "is already being run by process" in third.stderr
    assert third.stdout == "", "it is refused before Ray is started"
    Path("go").touch()
    outputs = [driver.communicate(timeout=180)[0] for driver in drivers]
    assert sorted(driver.returncode for driver in drivers) == [0, 2], outputs
    (refused,) = [out for driver, out in zip(drivers, outputs, strict=True) if driver.returncode == 2]
    (runner,) = [driver for driver in drivers if driver.returncode == 0]
    assert f"demo: is already being run by process {runner.pid}" in refused
    assert [row["state"] for row in rows()] == ["COMPLETE"] * 2
    assert [row["attempts"] for row in rows()] == [1, 1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_reaches_a_checkpoint_and_leaves_no_process(
    make_sweep: MakeSweep, number: int, status: int
) -> None:
    file = make_sweep(STEPS, stop={"trials": 4}, max_parallel=2)
    Path("hold").touch()
    mark = f"{os.getpid()}-{time.time()}"
    driver = start("run", file, mark=mark)
    wait_for(lambda: {(trial, step) for _, _, trial, step in diary()} >= {("0", "5"), ("1", "5")})
    driver.send_signal(number)
    out, _ = driver.communicate(timeout=180)
    assert driver.returncode == status
    assert "running trials (2) have 30 s to reach a checkpoint; interrupt again to kill them at once" in out
    assert re.search(r"trial \d was interrupted after .*: it has saved a checkpoint", out)
    assert f"Resume with: sweep run {file}" in out
    wait_for(lambda: not marked(mark))
    Path("hold").unlink()
    call("run", file, "--quiet")
    assert [row["state"] for row in rows()] == ["COMPLETE"] * 4
    done = [(trial, step) for _, _, trial, step in diary()]
    assert len(done) == len(set(done)) == 4 * 20, "no step was done twice"


SAVES_WHEN_ASKED = """
import os, pathlib, signal, subprocess, sys, time

sys.modules["torch"] = None  # tensorboardX would import it
from tensorboardX import SummaryWriter

place = sys.argv[1].removeprefix("--place=")
trial = pathlib.Path(os.environ["SWEEP_TRIAL_DIR"])
state = trial / "state"
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(time.time()))
loader = subprocess.Popen(["sleep", "LONG"])
writer = SummaryWriter(str(trial if place == "inside" else pathlib.Path("logs").absolute()))
for step in range(int(state.read_text()) + 1 if state.exists() else 0, 30):
    writer.add_scalar("loss", abs(step - 5), step)
    with open("diary.txt", "a") as diary:
        diary.write(f"{time.time()} {os.getpid()} {place} {step}\\n")
    time.sleep(0.1)
    while step == 15 and not state.exists() and not asked:
        time.sleep(0.1)
    if asked:
        # Its child processes are alive, since saving may need them; a wrapper that exits at once leaves them.
        assert loader.poll() is None or place == "outside"
        time.sleep(1)
        assert len(asked) == 1
        state.write_text(str(step))
        break
""".replace("LONG", LONG)


@pytest.mark.usefixtures("joining")
def test_an_interrupted_script_gets_sigterm_and_resumes_from_its_saved_state(project: Path) -> None:
    Path("train.py").write_text(SAVES_WHEN_ASKED)
    file = project / "demo.yaml"
    file.write_text(
        "program: train.py\nmetric: {name: loss, goal: minimize}\nsampler: grid\nmax_parallel: 2\n"
        "parameters: {place: {values: [inside, outside]}}\n"
        "command: [sh, -c, 'case $2 in *inside) exec $0 $1 $2;; *) $0 $1 $2; true;; esac', "
        '"${interpreter}", "${program}", "${args}"]\n'
    )
    driver = start("run", file, "--grace", "10m")
    wait_for(lambda: {place for _, _, place, step in diary() if int(step) > 8} == {"inside", "outside"})
    driver.send_signal(signal.SIGINT)
    out, _ = driver.communicate(timeout=180)  # less than the grace time: the scripts exit by themselves
    assert driver.returncode == 130, out
    assert "running scripts (2) have received SIGTERM and have 600 s to exit" in out
    assert [row["state"] for row in rows()] == ["WAITING"] * 2, (
        "a script that saves its state and exits with 0 is not complete"
    )
    assert not any(LONG in line for line in _all_commands())
    call("run", file, "--quiet")
    assert [(row["state"], row["value"], row["attempts"]) for row in rows()] == [("COMPLETE", 24.0, 2)] * 2
    assert [row["metrics"]["best/loss"] for row in rows()] == [0.0] * 2, "the best was in the first attempt"
    done = [(place, step) for _, _, place, step in diary()]
    assert len(done) == len(set(done)) == 2 * 30, "no step was done twice"
    curve = [(step, float(abs(step - 5))) for step in range(30)]
    for fast in (True, False):
        with tensorboard(project / "runs" / "demo", fast) as board:
            for row in board.wait_for_rows(2):
                assert logged_metrics(row) == {"loss": 24.0, "best/loss": 0.0}
            for trial in ("trial-0000", "trial-0001"):
                assert board.scalars(trial, "loss") == curve


def test_the_second_signal_terminates_the_trials_at_once(make_sweep: MakeSweep) -> None:
    file = make_sweep("import time\ndef train(trial):\n    print('on', flush=True)\n    time.sleep(1000)\n")
    mark = f"{os.getpid()}-{time.time()}"
    driver = start("run", file, "--grace", "10m", mark=mark)
    wait_for(lambda: any(path.read_text() for path in Path("runs/demo").glob("trial-*/output.log")))
    driver.send_signal(signal.SIGINT)
    assert driver.stdout is not None
    assert any("stopping: " in line for line in driver.stdout), "the run has exited"
    assert driver.poll() is None, "the grace time is not over"
    driver.send_signal(signal.SIGINT)
    out, _ = driver.communicate(timeout=180)
    assert driver.returncode == 130
    assert f"Resume with: sweep run {file}" in out
    wait_for(lambda: not marked(mark))


@pytest.fixture
def small_disk(project: Path) -> Iterator[Callable[[str], None]]:
    """Mounts a disk of 1 MB as `runs/`; returns the function that resizes it."""
    runs = project / "runs"
    runs.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(runs)], check=False)
    if made.returncode != 0:
        pytest.skip("only root can mount a small disk")

    def resize(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(runs)], check=True)

    yield resize
    subprocess.run(["umount", "--lazy", str(runs)], check=True)


@pytest.mark.usefixtures("joining")
@pytest.mark.parametrize("options", [[], ["--inline"]], ids=["ray", "inline"])
def test_a_full_disk_stops_the_sweep_with_one_error_and_it_can_be_resumed(
    make_sweep: MakeSweep, small_disk: Callable[[str], None], options: list[str]
) -> None:
    file = make_sweep(
        """
        def train(trial):
            trial.report(1.0, 0)
            with open(trial.directory / "weights", "wb") as file:
                file.write(bytes(200_000))
            return trial.params.x
        """,
        stop={"trials": 10},
    )
    done = call("run", file, "--quiet", *options, status=1)
    line, advice = done.stderr.splitlines()
    assert "No space left on device" in line
    assert advice == f"resume with: {shlex.join(['sweep', 'run', str(file), '--quiet', *options])}"
    stopped = rows()
    assert not any(row["state"] == "FAIL" for row in stopped), "a full disk is not a failure of the trial"
    small_disk("20m")
    call("run", file, "--quiet", *options)
    after = rows()
    assert [row["state"] for row in after] == ["COMPLETE"] * 10
    for row in stopped:
        if row["state"] == "COMPLETE":
            assert after[row["number"]] == row


@pytest.mark.usefixtures("joining")
@pytest.mark.parametrize("options", [[], ["--inline"]], ids=["ray", "inline"])
def test_a_disk_too_full_for_the_study_stops_the_sweep(
    make_sweep: MakeSweep, small_disk: Callable[[str], None], options: list[str]
) -> None:
    file = make_sweep(
        """
        def train(trial):
            if trial.number == 1:
                trial.set_user_attr("note", "much " * 250_000)
            return trial.params.x
        """,
        stop={"trials": 3},
    )
    line, advice = call("run", file, "--quiet", *options, status=1).stderr.splitlines()
    assert line.startswith("error: No space left on device")
    assert "nothing was recorded after that" in line
    assert line.endswith("Free some disk space first")
    assert advice == f"resume with: {shlex.join(['sweep', 'run', str(file), '--quiet', *options])}"
    small_disk("20m")
    call("run", file, "--quiet", *options)
    assert [row["state"] for row in rows()] == ["COMPLETE"] * 3


@pytest.mark.usefixtures("joining")
def test_stop_stops_a_sweep_or_one_trial_from_another_process(make_sweep: MakeSweep) -> None:
    assert "there is no such sweep" in call("stop", "demo", status=2).stderr
    file = make_sweep(
        """
        import time

        def train(trial):
            trial.report(0.5, 0)
            time.sleep(1000 if trial.number < 2 else 0.1)
            return trial.params.x
        """,
        stop={"trials": 4},
        max_parallel=2,
    )
    driver = start("run", file, "--grace", "1h")
    running = Path("runs/demo/trial-0001/output.log")
    wait_for(running.exists)
    assert "has no trial 9" in call("stop", "demo", "--trial", "9", status=2).stderr
    assert "trial 1 is stopped: PRUNED" in call("stop", "demo", "--trial", "1").stdout
    assert (
        "trial 1 of demo is not running: it is PRUNED"
        in call("stop", "demo", "--trial", "1", status=2).stderr
    )
    wait_for(lambda: rows()[-1]["number"] == 3 and rows()[-1]["state"] == "COMPLETE")
    impatient = [start("stop", "demo"), start("stop", "demo")]
    assert driver.wait(180) == 130, "the grace time was not used up"
    resume = f"stopped. Resume with: sweep run {file} --grace 1h\n"
    assert all(resume in each.communicate()[0] for each in impatient)
    assert call("status", "demo").stdout.endswith(f"\nresume with: sweep run {file} --grace 1h\n")
    assert [row["state"] for row in rows()] == ["WAITING", "PRUNED", "COMPLETE", "COMPLETE"]
    assert "demo: is not running" in call("stop", "demo", status=2).stderr


@pytest.mark.usefixtures("joining")
def test_failed_trials_are_resubmitted_while_the_sweep_runs_and_afterwards(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            if trial.number in (0, 2):
                raise ValueError("not yet")
            while trial.number == 3 and not pathlib.Path("go").exists():
                time.sleep(0.05)
            return trial.params.x
        """,
        stop={"trials": 4},
        max_parallel=2,
    )
    driver = start("run", file)
    wait_for(lambda: Path("runs/demo/trial-0003").exists())
    wait_for(lambda: [row["state"] for row in rows()[:3]] == ["FAIL", "COMPLETE", "FAIL"])
    assert call("retry", "demo", "0").stdout == "trial 0 runs again as trial 4, now\n"
    assert "trial 0 of demo has already been run again" in call("retry", "demo", "0", status=2).stderr
    assert "trial 1 of demo has not failed: it is COMPLETE" in call("retry", "demo", "1", status=2).stderr
    assert "which trials?" in call("retry", "demo", status=2).stderr
    refused = call("enqueue", "demo", "x=0.5", status=2).stderr
    assert "all its trials have started; extend it" in refused
    Path("go").touch()
    assert driver.wait(180) == 0
    assert [row["state"] for row in rows()] == ["FAIL", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert call("retry", "demo", "--failed").stdout == (
        f"trial 2 runs again as trial 5, when the sweep resumes\nresume with: sweep run {file}\n"
    )
    assert json.loads(call("status", "demo", "--json").stdout)["counts"]["waiting"] == 1
    call("run", file, "--quiet")
    after = rows()
    assert [(row["number"], row["state"], row.get("retry_of")) for row in after[4:]] == [
        (4, "COMPLETE", 0),
        (5, "COMPLETE", 2),
    ]
    assert [after[new]["params"] for new in (4, 5)] == [after[old]["params"] for old in (0, 2)]
    assert (
        "has no failed trial that has not been run again"
        in call("retry", "demo", "--failed", status=2).stderr
    )


@pytest.mark.parametrize(("text", "message"), [(text, "expected a duration") for text in ("soon", "-3", "²")])
def test_an_invalid_grace_time_is_refused(make_sweep: MakeSweep, text: str, message: str) -> None:
    file = make_sweep("def train(trial): ...")
    assert f"--grace: {message}" in call("run", file, f"--grace={text}", status=2).stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("number", "status", "moment"), [(signal.SIGINT, 130, 2.5), (signal.SIGTERM, 143, 1.5)]
)
def test_a_run_that_is_interrupted_while_starting_leaves_no_process(
    make_sweep: MakeSweep, number: int, status: int, moment: float
) -> None:
    file = make_sweep("import time\ndef train(trial): time.sleep(1000)", stop={"trials": 2})
    mark = f"{os.getpid()}-{time.time()}"
    driver = start("run", file, "--grace", "0", mark=mark)
    wait_for(lambda: driver.stdout is not None and driver.stdout.readline() == "starting Ray ...\n")
    time.sleep(moment)
    driver.send_signal(number)
    out, _ = driver.communicate(timeout=180)
    assert driver.returncode == status, out
    assert f"esume with: sweep run {file} --grace 0" in out
    assert "Traceback" not in out
    wait_for(lambda: not marked(mark))


FORKS = """
import multiprocessing, os, time

def write(name):
    while True:
        with open("lines.txt", "a") as file:
            file.write(f"{time.time()} {name}\\n")
        time.sleep(0.02)

def train(trial):
    if trial.number == 0 and not os.path.exists("lines.txt"):
        multiprocessing.get_context("fork").Process(target=write, args=(os.getpid(),)).start()
        time.sleep(1000)
    return trial.params.x
"""


@pytest.mark.parametrize("options", [["--inline"], ["--inline", "--fresh"], ["--fresh"]])
def test_surviving_processes_of_a_killed_run_are_terminated_first(
    make_sweep: MakeSweep, options: list[str]
) -> None:
    file = make_sweep(FORKS, stop={"trials": 2})
    lines = Path("lines.txt")
    driver = start("run", file, *[option for option in options if option != "--fresh"])
    wait_for(lambda: lines.exists() and lines.read_text())
    driver.kill()
    driver.wait()
    call("run", file, "--quiet", *options)
    ended = [row["finished"] for row in rows()]
    assert all(ended)
    size = lines.stat().st_size
    time.sleep(0.5)
    assert lines.stat().st_size == size
    assert [row["state"] for row in rows()] == ["COMPLETE"] * 2
    assert len(list(Path("runs").glob(".old/demo-*"))) == options.count("--fresh")
