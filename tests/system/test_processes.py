"""Finding and terminating the processes of a trial."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sweep.system import processes

pytestmark = pytest.mark.process


SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(300)"]


def start(trial: Path, **options: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, processes.TRIAL_DIRECTORY: str(trial)}
    process = subprocess.Popen(SLEEP, env=environment, stdout=subprocess.PIPE, **options)  # type: ignore
    assert process.stdout is not None
    process.stdout.readline()
    return process


def is_alive(pid: int) -> bool:
    try:
        return processes.is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def test_a_trials_processes_are_found_by_their_environment_or_their_output(tmp_path: Path) -> None:
    trial, other = tmp_path / "trial-0001", tmp_path / "trial-00010"
    trial.mkdir()
    own = start(trial, start_new_session=True)
    strange = start(other)
    output = trial / "output.log"
    with open(output, "w") as file:
        scrubbed = subprocess.Popen(["sleep", "300"], env={}, stdout=file)
    try:
        reader = subprocess.Popen(["tail", "-f", output], stdout=subprocess.DEVNULL)
        assert {process.pid for process in processes.find([trial], [output])} == {own.pid, scrubbed.pid}
        assert {process.pid for process in processes.find([tmp_path])} == {own.pid, strange.pid}
        processes.terminate_trial(trial, output)
        assert own.wait(60) == -9
        assert scrubbed.wait(60) == -9
        assert strange.poll() is None
        assert reader.poll() is None, "a process that only reads the file is not part of the trial"
    finally:
        for process in (own, strange, scrubbed, reader):
            process.kill()
            process.wait()


def test_this_process_and_its_ancestors_are_not_found(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from pathlib import Path; from sweep.system import processes\n"
        "print([process.pid for process in processes.find([Path(sys.argv[1])])])"
    )
    environment = {**os.environ, processes.TRIAL_DIRECTORY: str(tmp_path)}
    command = ["sh", "-c", f"{sys.executable} -c '{code}' {tmp_path}; true"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_process_is_killed_after_its_grace_period() -> None:
    polite = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(3))\n"
    stubborn = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\n"
    rest = "print(flush=True)\ntime.sleep(300)"
    started = [
        subprocess.Popen([sys.executable, "-c", code + rest], stdout=subprocess.PIPE)
        for code in (polite, stubborn)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    begin = time.monotonic()
    left = [psutil.Process(process.pid) for process in started]
    processes.terminate(left, grace=1.0)
    assert time.monotonic() - begin < 250
    assert not any(processes.is_alive(process) for process in left)


def test_descendants_include_detached_processes() -> None:
    code = """
import subprocess, time
from sweep.system import processes
assert processes.descendants() == []
processes.adopt_orphans()
subprocess.run("setsid sleep 300 & setsid sleep 301 &", shell=True)
while len(left := processes.descendants()) < 2:
    time.sleep(0.05)
processes.terminate(left)
processes.reap(left)
assert processes.descendants() == []
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_process_exits_with_its_parent() -> None:
    child = "from sweep.system import processes; processes.exit_with_parent(); import os, time\nprint(os.getpid(), flush=True); time.sleep(300)"  # noqa: E501
    parent = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(300)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.05)
