"""The use of CPU, GPU and memory of each attempt, in a run below the trial's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sweep
from sweep.engine import system_scalars
from sweep.engine.system_scalars import SystemScalars
from sweep.system import gpus
from sweep.system.gpus import visible_gpus
from sweep.tracking.read import read_scalars
from tests.commands import PATIENCE
from tests.conftest import MakeSweep
from tests.gpus import GB, device, pretend_gpus


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_scalars, "_INTERVAL", 0.05)


def wait_for_points(run: Path, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(read_scalars(run).get("system/cpu", ())) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_busy_attempt_uses_a_core(tmp_path: Path) -> None:
    with SystemScalars([]).written(tmp_path / "system"):
        end = time.process_time() + 0.5
        while time.process_time() < end:
            pass
    curves = read_scalars(tmp_path / "system")
    assert curves.keys() == {"system/cpu", "system/memory_gb"}
    assert 0 < max(curves["system/cpu"].values()) < 8
    assert 0.01 < max(curves["system/memory_gb"].values()) < 100


@pytest.mark.process
def test_child_processes_count(tmp_path: Path) -> None:
    alone = system_scalars.process_use()
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "data = b'x' * 10**8\nfor step in range(10**7): pass\nprint(flush=True)\ninput()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    both = system_scalars.process_use()
    child.communicate(b"\n")
    assert child.pid in both.pids
    assert both.cpu_seconds > alone.cpu_seconds + 0.1
    assert both.memory > alone.memory + 10**8
    assert system_scalars.process_use().cpu_seconds >= both.cpu_seconds, "also after it has terminated"


@pytest.mark.process
def test_what_a_child_used_before_the_attempt_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_scalars, "_INTERVAL", 0.6)
    code = "import time\nwhile time.process_time() < 3: pass\nprint(flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    with SystemScalars([]).written(tmp_path / "system"):
        wait_for_points(tmp_path / "system", 1)
    child.communicate(b"\n")
    assert max(read_scalars(tmp_path / "system")["system/cpu"].values()) < 2, "not 3 seconds in 0.6"


def test_gpu_memory_is_that_of_the_trial_where_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml = pretend_gpus(tmp_path, [device(0, others=GB, busy=70)], monkeypatch)
    monkeypatch.setenv(gpus.VISIBLE, "0")
    nvml.allocate(3 * GB)
    scalars = system_scalars.gpu_scalars(visible_gpus(), frozenset({os.getpid()}))
    assert scalars == {"system/gpu": 70, "system/gpu_memory_gb": 3}
    scalars = system_scalars.gpu_scalars(visible_gpus(), frozenset())
    assert scalars == {"system/gpu": 70, "system/gpu_memory_gb": 4}, "of all processes"
    gpus._library.cache_clear()
    sys.modules.pop("pynvml")


def test_a_later_attempt_continues_the_curves(tmp_path: Path) -> None:
    scalars, run = SystemScalars([]), tmp_path / "system"
    with scalars.written(run):
        wait_for_points(run, 1)
        time.sleep(1.1)
    last = max(read_scalars(run)["system/cpu"])
    assert last >= 1, "steps are seconds"
    with scalars.written(run):
        time.sleep(1.1)
    steps = list(read_scalars(run)["system/cpu"])
    assert steps == sorted(steps)
    assert max(steps) > last


def test_a_short_attempt_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_scalars, "_INTERVAL", 10)
    with SystemScalars([]).written(tmp_path / "system"):
        pass
    assert not (tmp_path / "system").exists()


SLOW = """
import time

def train(trial):
    trial.report(1.0, 0)
    time.sleep(0.3)
    return trial.params.x
"""


def test_they_are_no_metrics_of_the_trial(make_sweep: MakeSweep) -> None:
    result = sweep.run(make_sweep(SLOW, stop={"trials": 2}), inline=True)
    trial = result.trials[1]
    assert read_scalars(trial.directory / "system")
    assert trial.metrics.keys() == {"loss", "best/loss"}
    assert not any(tag.startswith("system") for tag in read_scalars(trial.directory))


@pytest.mark.process
def test_a_script_can_have_its_own_event_files(make_sweep: MakeSweep, project: Path) -> None:
    (project / "train.py").write_text(
        "import os, time, sweep\n"
        "from tensorboardX import SummaryWriter\n"
        "writer = SummaryWriter(os.path.join(os.environ['SWEEP_TRIAL_DIR'], 'system'))\n"
        "writer.add_scalar('loss', 0.25, 0)\n"
        "time.sleep(0.3)\n"
        "writer.close()\n"
    )
    file = make_sweep("", objective=None, program="train.py", stop={"trials": 1})
    text = file.read_text().replace("objective: null\n", "")
    file.write_text(text)
    (trial,) = sweep.run(file, inline=True).trials
    assert trial.metrics["loss"] == 0.25
    assert "system/cpu" not in trial.metrics


@pytest.mark.parametrize("keys", [{"trial": {"system_metrics": False}}, {"parameters": "define-by-run"}])
def test_none_are_written_if_tensorboard_would_take_them_for_metrics_or_the_user_wants_none(
    make_sweep: MakeSweep, keys: dict[str, object]
) -> None:
    code = SLOW.replace("trial.params.x", "trial.suggest_float('x', 0, 1)") if "parameters" in keys else SLOW
    result = sweep.run(make_sweep(code, stop={"trials": 1}, **keys), inline=True)
    assert result.trials[0].state == "COMPLETE"
    assert not (result.trials[0].directory / "system").exists()
