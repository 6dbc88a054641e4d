"""Workers and controllers that die, hang or grow on a real Ray are replaced, and no result is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import sweep
from sweep.controller.requests import Request, write_request
from sweep.engine.observer import Observer
from sweep.messages import Assignment, AttemptResult
from sweep.system.lock import holder
from tests.conftest import MakeSweep

pytestmark = pytest.mark.usefixtures("ray_cluster")


LONG = str(10**7 + os.getpid())
"""A sleep time that no other process on this machine uses, in seconds."""


def find(title: str, anywhere: bool = True) -> list[psutil.Process]:
    """Running processes with this text in their command line, on the machine or among our descendants."""
    found = []
    for process in psutil.process_iter() if anywhere else psutil.Process().children(recursive=True):
        try:
            if title in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def run_id(project: Path) -> str:
    found = holder(project / "runs/demo/.lock")
    assert found is not None
    return found.run_id


@contextmanager
def meanwhile(act: Callable[[], None], finish: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Call `act`, then `finish`, in a thread while the block runs. Errors of `act` are raised at its end."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)
        finally:
            finish()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(180)
    if errors:
        raise errors[0]


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


HANGS = {
    "an endless loop": "while True: pass",
    "a long sleep": "time.sleep(10**6)",
    "a child": f'subprocess.run(["sleep", "{LONG}"])',
    "a child in its own session that ignores SIGTERM": (
        f"subprocess.run(['sh', '-c', 'trap \"\" TERM; sleep {LONG}'], start_new_session=True)"
    ),
    "a loop that catches everything": (
        "\n    while True:\n        try: time.sleep(100)\n        except BaseException: pass"
    ),
}


def test_attempts_that_hang_are_killed_at_their_timeout_with_all_their_children(
    make_sweep: MakeSweep, project: Path
) -> None:
    functions = "".join(
        f"\n\ndef hang_{number}():\n    {code}\n" for number, code in enumerate(HANGS.values())
    )
    code = (
        "import os, pathlib, subprocess, time\n"
        + functions
        + "\n\ndef train(trial):\n"
        + "    pathlib.Path(trial.directory, 'began').write_text(str(time.time()))\n"
        + "".join(f"    if trial.number == {n}: hang_{n}()\n" for n in range(len(HANGS)))
        + "    time.sleep(0.3)\n    return trial.params.x\n"
    )
    ended: dict[int, float] = {}

    class Watch(Observer):
        def on_attempt_end(self, attempt_result: AttemptResult) -> None:
            ended[attempt_result.number] = time.time()

    file = make_sweep(code, stop={"trials": 12}, trial={"timeout": "30s"})
    result = sweep.run(file, observer=Watch())
    hung = len(HANGS)
    assert [trial.state for trial in result.trials] == ["FAIL"] * hung + ["COMPLETE"] * (12 - hung)
    for trial in result.trials[:hung]:
        assert trial.reason == "ran longer than 30 s"
        began = float((trial.directory / "began").read_text())
        assert ended[trial.number] - began < 30 + 60
    assert all(trial.attempts == 1 for trial in result.trials[hung:]), "other trials are not affected"
    assert not find(f"sleep {LONG}")


def test_the_children_of_a_worker_that_is_killed_from_outside_are_killed_too(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = make_sweep(
        """
        import os, pathlib, subprocess, time

        def train(trial):
            here = pathlib.Path(trial.directory)
            if not (here / "first").exists():
                (here / "first").touch()
                for new in (True, False):
                    child = subprocess.Popen(["sleep", "LONG"], start_new_session=new)
                hidden = "setsid nohup sleep LONG </dev/null >/dev/null 2>&1 &"
                subprocess.run(hidden, shell=True)
                (here / "pid").write_text(str(os.getpid()))
                time.sleep(1000)
            return trial.params.x
        """.replace("LONG", LONG),
        stop={"trials": 1},
    )

    def kill() -> None:
        pid = project / "runs/demo/trial-0000/pid"
        wait_for(lambda: pid.exists() and pid.read_text())
        wait_for(lambda: len(find(f"sleep {LONG}")) == 3)
        os.kill(int(pid.read_text()), signal.SIGKILL)

    with meanwhile(kill):
        result = sweep.run(file)
    (trial,) = result.trials
    assert (trial.state, trial.attempts) == ("COMPLETE", 2)
    assert not find(f"sleep {LONG}")


CHECKPOINTING = """
import os, pathlib, time

def train(trial):
    found = trial.checkpoint.latest()
    first = found.step + 1 if found else 0
    with open(trial.directory / "diary", "a") as diary:
        for step in range(first, 6):
            trial.report(10 - step, step)
            print(step, file=diary, flush=True)
            with trial.checkpoint.save(step):
                pass
            if step == 3 and not (trial.directory / "again").exists():
                (trial.directory / "again").touch()
                FAILURE
    return 4.5
"""


def test_a_crashed_trial_resumes_from_its_checkpoint(make_sweep: MakeSweep) -> None:
    file = make_sweep(CHECKPOINTING.replace("FAILURE", "os._exit(1)"), stop={"trials": 2})
    result = sweep.run(file)
    for row, trial in zip(result.trials, result.study.trials, strict=True):
        assert (row.state, row.attempts, row.value) == ("COMPLETE", 2, 4.5)
        assert trial.intermediate_values == {step: 10.0 - step for step in range(6)}
        assert (row.directory / "diary").read_text().split() == list("012345"), "no step ran twice"
        assert len(list((row.directory / "checkpoint").iterdir())) == 1
        assert (row.metrics["loss"], row.metrics["best/loss"]) == (4.5, 4.5)


def test_the_controller_can_die_at_any_time(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            while trial.number >= 26 and not pathlib.Path("go").exists():
                time.sleep(0.05)
            for step in range(10):
                trial.report(trial.number + step, step)
                trial.should_prune()
                time.sleep(0.05)
            return trial.params.x
        """,
        pruner="median",
        stop={"trials": 30},
        max_parallel=4,
    )
    started: list[Assignment] = []

    class Watch(Observer):
        wants_frequent_progress = True

        def on_attempt_start(self, assignment: Assignment) -> None:
            started.append(assignment)

    killed = 0

    def kill() -> None:
        nonlocal killed
        for least in (3, 10, 18):
            wait_for(lambda least=least: len(started) > least)  # type: ignore[misc]
            wait_for(lambda: find("ray::RayController", anywhere=False))
            for process in find("ray::RayController", anywhere=False):
                process.kill()
            killed += 1

    with meanwhile(kill, Path("go").touch):
        result = sweep.run(file, observer=Watch())
    assert killed == 3
    assert [trial.number for trial in result.trials] == list(range(30))
    assert {trial.state for trial in result.trials} <= {"COMPLETE", "PRUNED"}
    assert {trial.attempts for trial in result.trials} == {1}, "no trial was started twice"
    assert len(started) == 30
    for trial in result.study.trials:
        if trial.state.name == "COMPLETE":
            assert trial.intermediate_values == {step: float(trial.number + step) for step in range(10)}


def test_a_stopped_sweep_interrupts_its_trials_at_their_next_checkpoint(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            found = trial.checkpoint.latest()
            for step in range(found.step + 1 if found else 0, 40):
                trial.report(40 - step, step)
                while step == 5 and found is None and not trial.must_end():
                    time.sleep(0.05)
                if step % 10 == 9:
                    with trial.checkpoint.save(step):
                        pass
            return 1.0
        """,
        stop={"trials": 2},
    )

    def stop() -> None:
        wait_for(lambda: (project / "runs/demo/trial-0001").exists())
        write_request(project / "runs/demo/.requests", Request(run_id(project), stop=True))

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), meanwhile(stop):
        sweep.run(file, grace="10m")
    assert time.monotonic() - begin < 300, "it did not wait until the grace time was over"
    result = sweep.run(file)
    for trial in result.study.trials:
        assert trial.intermediate_values == {step: 40.0 - step for step in range(40)}
    assert [(row.state, row.attempts) for row in result.trials] == [("COMPLETE", 2)] * 2


def test_one_trial_can_be_stopped_while_the_others_continue(make_sweep: MakeSweep, project: Path) -> None:
    file = make_sweep(
        """
        import pathlib, time

        def train(trial):
            trial.report(0.25, 0)
            trial.should_prune()  # the controller has the report then
            if trial.number == 1:
                pathlib.Path("told").touch()
                time.sleep(1000)
            return trial.params.x
        """,
        stop={"trials": 4},
        max_parallel=2,
    )

    def stop() -> None:
        wait_for((project / "told").exists)
        write_request(project / "runs/demo/.requests", Request(run_id(project), stop_trial=1))

    with meanwhile(stop):
        result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "PRUNED", "COMPLETE", "COMPLETE"]
    assert (result.trials[1].reason, result.trials[1].value) == ("stopped by the user", 0.25)


def test_a_request_that_arrives_during_the_last_trial_is_carried_out(
    make_sweep: MakeSweep, project: Path
) -> None:
    file = make_sweep(
        """
        from sweep.controller.requests import Request, write_request

        def train(trial):
            if trial.number == 0:
                raise RuntimeError
            if trial.number == 2:
                write_request(trial.directory.parent / ".requests", Request(resubmit=(0,)))
            return trial.params.x
        """,
        stop={"trials": 3},
        max_parallel=1,
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert not list((project / "runs/demo/.requests").iterdir())


@pytest.mark.parametrize(
    ("rules", "workers"),
    [({}, 1), ({"isolate": True}, 6), ({"recycle_after": 2}, 3), ({"recycle_at_gb": 0.45}, 3)],
)
def test_a_worker_is_replaced_when_it_reaches_its_limits(
    make_sweep: MakeSweep, rules: dict[str, object], workers: int
) -> None:
    file = make_sweep(
        """
        import os, pathlib

        KEPT = []

        def train(trial):
            if trial.number % 2:
                KEPT.append(bytearray(os.urandom(1) * 400_000_000))
            pathlib.Path(trial.directory, "pid").write_text(str(os.getpid()))
            return trial.params.x
        """,
        max_parallel=1,
        trial=rules,
    )
    result = sweep.run(file)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 6
    assert len({(trial.directory / "pid").read_text() for trial in result.trials}) == workers


def test_an_out_of_memory_error_of_the_objective_is_recognized_and_retried(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import torch

        def train(trial):
            if trial.number == 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return trial.params.x
        """,
        stop={"trials": 2},
        trial={"retries": 1},
    )
    result = sweep.run(file)
    assert [(trial.state, trial.attempts) for trial in result.trials] == [("COMPLETE", 1), ("FAIL", 2)]
    assert result.trials[1].reason is not None
    assert result.trials[1].reason.startswith("oom: ")


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """The file of a control group with 200 MB of memory; a process joins it by writing its PID."""
    root = Path("/sys/fs/cgroup")
    is_first_version = (root / "memory").is_dir()
    group = (root / "memory" if is_first_version else root) / f"sweep-test-{os.getpid()}"
    try:
        if not is_first_version:
            (root / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / ("memory.limit_in_bytes" if is_first_version else "memory.max")).write_text("200000000")
    except OSError:
        pytest.skip("only root can make a control group")
    yield group / "cgroup.procs"
    wait_for(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_worker_that_the_kernel_killed_for_memory_is_recognized(
    make_sweep: MakeSweep, small_memory: Path
) -> None:
    file = make_sweep(
        f"""
        import os, pathlib

        def train(trial):
            if trial.number == 1:
                pathlib.Path("{small_memory}").write_text(str(os.getpid()))
                bytearray(os.urandom(1) * 400_000_000)
            return trial.params.x
        """,
        stop={"trials": 2},
        trial={"retry_on": "oom", "retries": 1},
    )
    result = sweep.run(file)
    assert [(trial.state, trial.attempts) for trial in result.trials] == [("COMPLETE", 1), ("FAIL", 2)]
    assert result.trials[1].reason == "oom: its process was killed because memory ran out"


def test_processes_that_a_finished_trial_left_behind_are_killed_before_the_next_one(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(
        """
        import pathlib, subprocess

        def train(trial):
            alive = subprocess.run(["pgrep", "-f", "sleep LONG"], stdout=subprocess.PIPE).stdout
            subprocess.Popen(["sleep", "LONG"], start_new_session=True)
            subprocess.run("setsid sleep LONG &", shell=True)
            return len(alive.split())
        """.replace("LONG", LONG),
        max_parallel=1,
        stop={"trials": 3},
    )
    result = sweep.run(file)
    assert [trial.value for trial in result.trials] == [0.0] * 3
    assert not find(f"sleep {LONG}")


def test_sweeps_in_threads_share_a_ray_that_was_started_before(make_sweep: MakeSweep) -> None:
    code = """
    import pathlib, time

    def train(trial):
        while len(list(pathlib.Path("runs").glob("*/trial-0000"))) < 2:
            time.sleep(0.05)
        return trial.params.x
    """
    files = [make_sweep(code, name=name, stop={"trials": 2}, max_parallel=1) for name in ("one", "two")]
    results: list[sweep.SweepResult] = []
    with meanwhile(lambda: results.append(sweep.run(files[0]))):
        results.append(sweep.run(files[1]))
    assert [len(result.trials) for result in results] == [2, 2]


def test_the_controller_can_die_when_the_objective_captures_large_objects(
    project: Path, ray_cluster: None
) -> None:
    ballast = bytes(1 << 20)
    killed: list[psutil.Process] = []

    def objective(trial: sweep.Trial) -> float:
        return trial.suggest_float("x", 0, 1) + len(ballast)

    class Kill(sweep.Callback):
        def on_trial_end(self, trial: sweep.TrialEnd) -> None:
            if not killed:
                killed.extend(find("ray::RayController", anywhere=False))
                for process in killed:
                    process.kill()

    result = sweep.run(objective, name="demo", n_trials=4, callbacks=[Kill()])
    assert killed
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 4
