"""Sweeps on a Ray cluster whose machines join and leave."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import gpu_cluster
import pytest

from tests.commands import PATIENCE, call, sweep_command
from tests.conftest import MakeSweep
from tests.machines import Machines, started_machines

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("machines")]

OBJECTIVE = """
import itertools, os, time
import ray

def train(trial):
    found = trial.checkpoint.latest()
    node = ray.get_runtime_context().get_node_id()
    for step in itertools.count(0 if found is None else found.step + 1):
        with open("steps", "a") as file:
            print(trial.number, step, node, file=file)
        time.sleep(0.1)
        trial.report(trial.params.x, step=step)
        with trial.checkpoint.save(step):
            pass
        if step >= 10 and os.path.exists("left"):
            return trial.params.x
"""
SCRIPT = """
import os, signal, sys, time
import sweep

state = os.path.join(os.environ["SWEEP_TRIAL_DIR"], "state")
first = int(open(state).read()) if os.path.exists(state) else 0
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
for step in range(first, 10):
    with open("steps", "a") as file:
        print(0, step, "", file=file)
    while step == 5 and first == 0:
        time.sleep(0.1)
    sweep.report(1.0, step)
    with open(state, "w") as file:
        file.write(str(step + 1))
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with started_machines() as machines:
        yield machines


def steps(project: Path) -> list[list[str]]:
    file = project / "steps"
    return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []


def wait_until(condition: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    """Wait while a sweep runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)


def start_sweep(file: Path, machines: Machines) -> subprocess.Popen[str]:
    return subprocess.Popen(
        sweep_command("run", file, "--address", machines.address), stdout=subprocess.PIPE, text=True
    )


def test_a_machine_that_joins_gets_work_and_one_that_leaves_loses_at_most_a_step(
    make_sweep: MakeSweep, project: Path, machines: Machines
) -> None:
    file = make_sweep(OBJECTIVE, stop={"trials": 4}, trial={"retries": 0})
    first = machines.add(2)
    with start_sweep(file, machines) as running:
        wait_until(lambda: len(steps(project)) > 5, running)
        second = machines.add(2)
        wait_until(lambda: len({node for _, _, node in steps(project)}) == 2, running)
        first.send_signal(signal.SIGTERM)  # `ray start` announces that it leaves, and exits when nothing runs
        first.wait(PATIENCE)
        (project / "left").touch()
        assert running.stdout is not None
        output = running.stdout.read()
    assert running.returncode == 0, output
    assert "a machine is about to leave the cluster" in output
    rows = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert [row["state"] for row in rows] == ["COMPLETE"] * 4
    moved = sum(row["attempts"] - 1 for row in rows)
    assert moved >= 2
    count = Counter((trial, int(step)) for trial, step, _ in steps(project))
    assert count.total() - len(count) <= moved, "each trial repeats at most the step that was interrupted"
    for number in "0123":
        made = sorted(step for trial, step in count if trial == number)
        assert made == list(range(len(made))), "no step is left out"
    second.send_signal(signal.SIGTERM)
    second.wait(PATIENCE)


def test_a_script_on_a_machine_that_leaves_saves_its_state_and_continues_elsewhere(
    make_sweep: MakeSweep, project: Path, machines: Machines
) -> None:
    (project / "train.py").write_text(SCRIPT)
    file = make_sweep("", objective=None, program="train.py", stop={"trials": 1}, trial={"retries": 0})
    first = machines.add(1)
    with start_sweep(file, machines) as running:
        wait_until(lambda: len(steps(project)) > 5, running)
        second = machines.add(1)
        first.send_signal(signal.SIGTERM)
        first.wait(PATIENCE)
    assert running.returncode == 0
    (row,) = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert (row["state"], row["attempts"]) == ("COMPLETE", 2)
    assert [int(step) for _, step, _ in steps(project)] == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]
    second.send_signal(signal.SIGTERM)
    second.wait(PATIENCE)


def test_trials_run_where_the_custom_resources_and_labels_are(
    make_sweep: MakeSweep, project: Path, machines: Machines
) -> None:
    plain = machines.add(4)
    special = machines.add(4, custom={"a100": 2}, labels="region=us")
    file = make_sweep(
        """
        import ray

        def train(trial):
            context = ray.get_runtime_context()
            (node,) = [node for node in ray.nodes() if node["NodeID"] == context.get_node_id()]
            assert "a100" in node["Resources"]
            assert context.get_assigned_resources()["a100"] == 1
            return trial.params.x
        """,
        resources={"custom": {"a100": 1}, "labels": {"region": ["us", "eu"]}},
    )
    done = call("run", file, "--address", machines.address)
    assert "6 trials; 2 at once" in done.stdout
    assert "6 complete" in done.stdout
    wrong = call(
        *("run", file, "--address", machines.address, "--fresh", "--set", "resources.labels.region=asia"),
        status=2,
    )
    assert "no machine of the Ray cluster has region: asia; the machines have: region: us" in wrong.stderr
    for machine in (plain, special):
        machine.send_signal(signal.SIGTERM)
        machine.wait(PATIENCE)


IMPORTS = """
if ray.is_initialized():
    here = ray.get_runtime_context().get_node_id()
    (machine,) = [node for node in ray.nodes() if node["NodeID"] == here]
    if "bad" in machine["Resources"]:
        import there_is_no_such_module
"""


def test_a_machine_that_joins_and_lacks_a_package_is_left_out_and_the_trials_run_on(
    make_sweep: MakeSweep, project: Path, machines: Machines
) -> None:
    file = make_sweep(OBJECTIVE + IMPORTS, stop={"trials": 4}, trial={"retries": 0})
    first = machines.add(1)
    with start_sweep(file, machines) as running:
        wait_until(lambda: len(steps(project)) > 5, running)
        bad = machines.add(2, custom={"bad": 1})
        assert running.stdout is not None
        note = next(line for line in running.stdout if "no more trials start on" in line)
        (project / "left").touch()
        running.stdout.read()
    assert "there_is_no_such_module" in note
    assert running.returncode == 0
    rows = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert [(row["state"], row["attempts"]) for row in rows] == [("COMPLETE", 1)] * 4
    assert len({node for _, _, node in steps(project)}) == 1
    for machine in (first, bad):
        machine.send_signal(signal.SIGTERM)
        machine.wait(PATIENCE)


OUTSIDE = ["unshare", "--pid", "--fork", "--mount", "--mount-proc"]
"""Runs a command that sees no other process, and so no node of the cluster, as on another machine."""


@pytest.mark.skipif(
    subprocess.run([*OUTSIDE, "true"], capture_output=True, check=False).returncode != 0,
    reason="this user cannot create a pid namespace",
)
def test_a_machine_outside_the_cluster_joins_it_for_its_sweep_and_runs_no_trials(
    make_sweep: MakeSweep, project: Path, machines: Machines
) -> None:
    first = machines.add(2)
    file = make_sweep("def train(trial): return trial.params.x", stop={"trials": 3})
    command = [*OUTSIDE, *sweep_command("run", file, "--address", machines.address)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "3 trials; 2 at once" in done.stdout
    first.send_signal(signal.SIGTERM)
    first.wait(PATIENCE)


def test_no_gpu_of_several_machines_is_given_away_twice_and_none_is_left_idle(
    machines: Machines, project: Path
) -> None:
    # Two trials fit on a GPU, six on a machine, but by the sum of its GPUs Ray counts seven.
    added = [machines.add(1, gpus=3) for _ in range(2)]
    given = gpu_cluster.Given(trials=12, share=0.4, seconds=PATIENCE)
    wait = """with open("started", "a") as file:
        file.write("-")
    while os.path.getsize("started") < 12 and time.time() < start + {seconds}:
        time.sleep(0.1)"""
    objective = gpu_cluster.OBJECTIVE.replace("time.sleep({seconds})", wait)
    gpu_cluster.run_sweep(machines.address, given, objective)
    found = gpu_cluster.check(project / gpu_cluster.LOG, given)  # of each trial, and each GPU
    assert (found.at_once, found.on_a_gpu) == (12, 2)
    for machine in added:
        machine.send_signal(signal.SIGTERM)
        machine.wait(PATIENCE)
