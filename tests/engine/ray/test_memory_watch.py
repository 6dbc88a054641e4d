"""When a machine's memory runs out, the attempt that uses most of it ends, and no other."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest

from sweep.engine.ray import memory_watch, private
from sweep.engine.ray.memory_watch import MemoryWatch, was_ended
from sweep.system.directory import TrialDirectory
from tests.commands import call, call_here

THIS = os.getpid()


def a_process(
    pid: int, parent: int, gb: float, shared: float = 0.0, title: str = "ray::RayWorker.run"
) -> Mock:
    """A process with the memory `gb`, of which it shares a part with others."""
    use = SimpleNamespace(rss=int(gb * 1e9), shared=int(shared * 1e9))
    process = Mock(pid=pid, ppid=lambda: parent, memory_info=lambda: use)
    process.name.return_value = title
    return process


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that have been killed."""
    pids: list[int] = []

    def kill(pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        pids.append(pid)

    monkeypatch.setattr(memory_watch.os, "kill", kill)
    monkeypatch.setattr(memory_watch.processes, "descendants", lambda: [Mock(pid=11)])
    monkeypatch.setattr(private, "memory_use", lambda: 0.96)
    return pids


def watch(trial: TrialDirectory, processes: Sequence[Mock], checks: int = 3) -> None:
    """Let the watch of this process, a worker on a machine with these processes, check some times."""
    found = MemoryWatch()
    found._raylet = Mock(children=lambda recursive: processes)
    for _ in range(checks):
        found._check(trial)


def test_the_largest_worker_of_a_full_machine_is_killed_with_its_children_first(
    killed: list[int], tmp_path: Path
) -> None:
    trial = TrialDirectory(tmp_path)
    watch(trial, [a_process(THIS, 1, 0.1), a_process(11, THIS, 5.0), a_process(20, 1, 4.0)])
    assert killed == [11, THIS]
    assert was_ended(trial)
    assert not was_ended(trial)


def test_a_worker_is_not_killed_while_another_one_uses_more(killed: list[int], tmp_path: Path) -> None:
    trial = TrialDirectory(tmp_path)
    other = [a_process(20, 1, 0.1), a_process(21, 20, 3.0), a_process(22, 21, 3.0)]
    watch(trial, [a_process(THIS, 1, 5.0), *other])
    assert not killed
    assert not was_ended(trial)


def test_workers_without_an_attempt_are_not_compared(killed: list[int], tmp_path: Path) -> None:
    idle = [a_process(20, 1, 7.0, title="ray::RayWorker"), a_process(21, 20, 3.0)]
    watch(TrialDirectory(tmp_path), [a_process(THIS, 1, 5.0), *idle, a_process(30, 1, 1.0)])
    assert killed


def test_a_closed_stderr_does_not_save_the_worker(
    killed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    watch(TrialDirectory(tmp_path), [a_process(THIS, 1, 5.0)])
    assert killed


def test_memory_that_processes_share_does_not_count_for_each(killed: list[int], tmp_path: Path) -> None:
    other = [a_process(pid, 20 if pid > 20 else 1, 2.0, shared=1.9) for pid in range(20, 30)]
    watch(TrialDirectory(tmp_path), [a_process(THIS, 1, 3.0), *other])
    assert killed


def test_nothing_is_killed_before_several_checks_agree(killed: list[int], tmp_path: Path) -> None:
    watch(TrialDirectory(tmp_path), [a_process(THIS, 1, 5.0)], checks=2)
    assert not killed


def test_nothing_is_killed_while_there_is_memory(
    killed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "memory_use", lambda: 0.9)
    watch(TrialDirectory(tmp_path), [a_process(THIS, 1, 5.0)])
    assert not killed


def test_a_process_that_is_no_worker_of_ray_is_not_killed(killed: list[int], tmp_path: Path) -> None:
    found = MemoryWatch()
    for _ in range(5):
        found._check(TrialDirectory(tmp_path))
    assert not killed


@pytest.mark.process
def test_a_script_that_fills_the_memory_ends_alone(project: Path) -> None:
    memory = psutil.virtual_memory()
    if memory.available < 12e9:
        pytest.skip("this machine has too little memory")
    limit = 1 - (memory.available - 4e9) / memory.total
    (project / "train.py").write_text(
        "import sys, time\n"
        "number, blocks = int(sys.argv[1]), []\n"
        "for _ in range(80 if number == 1 else 0):\n"
        "    blocks.append(b'x' * 100_000_000)\n"
        "    time.sleep(0.05)\n"
        "time.sleep(60 if number == 1 else 8)\n"
        "print(f'loss={number}')\n"
    )
    (project / "demo.yaml").write_text(
        "command: [python, train.py, '${n}']\n"
        "metric: {name: loss, goal: minimize}\n"
        "metrics_from: {regex: 'loss=(?P<loss>.*)'}\n"
        "sampler: grid\n"
        "parameters: {n: {values: [0, 1, 2]}}\n"
        "resources: {cpu: 0.5}\n"
        "trial: {retries: 0}\n"
    )
    env = {"RAY_ADDRESS": "local", "RAY_memory_usage_threshold": f"{limit:.3f}"}
    call("run", project / "demo.yaml", env=env)
    trials = json.loads(call_here("trials", "demo", "--json").stdout)
    found = {trial["params"]["n"]: trial for trial in trials}
    assert {n: (row["state"], row["attempts"]) for n, row in found.items()} == {
        0: ("COMPLETE", 1),
        1: ("FAIL", 1),
        2: ("COMPLETE", 1),
    }
    assert found[1]["reason"] == "oom: its process was killed because memory ran out"
