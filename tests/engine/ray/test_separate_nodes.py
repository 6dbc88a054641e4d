"""Sweeps on machines that do not share a file system: Ray nodes with separate directories."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from separate_nodes import SeparateNode, SeparateNodes, can_separate

from sweep.system.directory import SweepDirectory
from sweep.tracking.read import read_scalars
from tests.commands import PATIENCE, call, sweep_command
from tests.conftest import MakeSweep
from tests.engine.ray.test_faults import wait_for

pytestmark = [
    pytest.mark.process,
    pytest.mark.ray,
    pytest.mark.skipif(not can_separate(), reason="this user cannot create mount namespaces"),
]

STEPS = 8
OBJECTIVE = f"""
    import hashlib, json, os, time
    from pathlib import Path

    HERE = Path(__file__).parent

    def train(trial):
        (HERE / "runs").mkdir(exist_ok=True)
        (HERE / "runs" / f"ran-{{trial.number}}").touch()  # each node has its own folder at this path
        checkpoint = trial.checkpoint.latest()
        start = 0 if checkpoint is None else int((checkpoint.path / "step").read_text()) + 1
        for step in range(start, {STEPS}):
            trial.report(trial.params["x"] + step, step)
            print("step", step, flush=True)
            with trial.checkpoint.save(step) as path:
                (path / "step").write_text(str(step))
                (path / "model").write_bytes(os.urandom(200_000))
            time.sleep(0.5)
        (trial.directory / "folder").mkdir()
        (trial.directory / "folder" / "large").write_bytes(os.urandom(9_000_000))
        (trial.directory / "link").symlink_to("folder/large")
        trial.save_artifact(trial.directory / "folder", "result")
        files = [path for path in trial.directory.rglob("*") if path.is_file() and "log" not in path.name]
        sums = {{
            str(path.relative_to(trial.directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if "tfevents" not in path.name and path.name != "error.txt"  # the controller writes these
        }}
        (HERE / "sums" / str(trial.number)).write_text(json.dumps(sums))
    """


def node_of(trial: int, nodes: SeparateNodes, runs: Path) -> SeparateNode | None:
    """The node on which a trial has run; None for the node of the sweep itself."""
    return next((node for node in nodes.nodes if (node.path(runs) / f"ran-{trial}").exists()), None)


def test_every_run_directory_is_whole_and_a_machine_that_dies_costs_no_trial(
    make_sweep: MakeSweep, project: Path
) -> None:
    runs, sums = project / "runs", project / "sums"
    runs.mkdir()
    sums.mkdir()
    file = make_sweep(OBJECTIVE, stop={"trials": 7})
    directory = SweepDirectory.of(runs, "demo")
    with SeparateNodes([runs]) as nodes:
        nodes.add(2)
        command = [*sweep_command("run", file, "--address", nodes.address)]
        with subprocess.Popen(
            command, env={**os.environ, **nodes.env}, stdout=subprocess.PIPE, text=True
        ) as run:

            def elsewhere() -> list[int]:
                """Running trials of other nodes that have a checkpoint which has arrived here."""
                numbers = []
                for path in sorted(runs.glob("demo/trial-*/checkpoint/*/step")):
                    number = int(path.parts[-4].removeprefix("trial-"))
                    # Not one that may have saved its last checkpoint: what follows cannot be repeated.
                    has_steps_left = int(path.parent.name.split("-")[-1]) < STEPS // 2
                    if has_steps_left and any(sums.iterdir()) and node_of(number, nodes, runs):
                        numbers.append(number)
                return numbers

            found: list[int] = []

            def has_found() -> bool:
                found[:] = elsewhere()
                return bool(found)

            wait_for(lambda: run.poll() is not None or has_found(), PATIENCE)
            assert found, "checkpoints arrive while the trial runs"
            moved = found[0]
            finished = {path.name for path in sums.iterdir()}
            killed = node_of(moved, nodes, runs)
            assert killed is not None
            killed.kill()
            output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output
        assert "7 trials in" in output
        ran = {path.name for path in runs.glob("ran-*")}
        survivor = next(node for node in nodes.nodes if node is not killed)
        assert ran, "a slot on the sweep's own machine"
        assert list(survivor.path(runs).glob("ran-*")), "a slot on the other machine"
        assert not (survivor.path(runs) / "demo").exists()
    for number in range(7):
        trial = directory.trial(number)
        expected = json.loads((sums / str(number)).read_text())
        for path, digest in expected.items():
            assert hashlib.sha256((trial.root / path).read_bytes()).hexdigest() == digest, path
        assert os.readlink(trial.root / "link") == "folder/large"
        assert list(read_scalars(trial.root)["loss"]) == list(range(STEPS))
        steps = [int(step) for step in re.findall(r"step (\d+)", trial.output.read_text())]
        if str(number) in finished:
            assert steps == list(range(STEPS)), "a finished trial does not run again"
    second = directory.trial(moved).output.read_text().split("--- attempt 2 ---")[1]
    assert int(re.findall(r"step (\d+)", second)[0]) > 0, "it continues from its checkpoint"
    assert not directory.arriving.exists()


RANKS = """
    import os, signal, time
    from pathlib import Path

    STARTED = Path(__file__).parent / "started"

    def train(trial):
        rank, has_failed = os.environ["RANK"], trial.checkpoint.latest() is not None
        print(f"rank {rank}, attempt {1 + has_failed}", flush=True)
        if has_failed:
            STARTED.with_name(f"again-{rank}").touch()
            while not STARTED.with_name("again-1").exists():  # the return of rank 0 is the end of the attempt
                time.sleep(0.1)
            return 1.0
        if rank == "1":
            STARTED.touch()
            while not STARTED.with_name("saved").exists():
                time.sleep(0.1)
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)
        while not STARTED.exists():  # then rank 1 has seen that there is no checkpoint
            time.sleep(0.1)
        with trial.checkpoint.save(step=0) as path:
            (path / "state").touch()
        STARTED.with_name("saved").touch()
        signal.pause()
    """


def test_the_output_of_a_rank_that_was_killed_arrives_and_that_of_earlier_attempts_is_not_repeated(
    make_sweep: MakeSweep, project: Path
) -> None:
    runs = project / "runs"
    runs.mkdir()
    file = make_sweep(RANKS, resources={"cpu": 1, "workers": 2}, stop={"trials": 1})
    with SeparateNodes([runs]) as nodes:
        nodes.add(1)
        call("run", file, "--address", nodes.address, env=nodes.env)
    trial = SweepDirectory.of(runs, "demo").trial(0)
    for rank in (0, 1):
        lines = [f"rank {rank}, attempt 1", "--- attempt 2 ---", f"rank {rank}, attempt 2"]
        assert trial.output_of(rank).read_text().splitlines() == lines


FULL = """
    import errno, time
    from pathlib import Path

    import ray

    HERE = Path(__file__).parent

    def wait_for(name):
        while not (HERE / name).exists():
            time.sleep(0.05)

    def train(trial):
        here = ray.get_runtime_context().get_node_id()
        (machine,) = [node for node in ray.nodes() if node["NodeID"] == here]
        if machine["NodeManagerAddress"] == "127.0.0.2":
            wait_for("started")
            (HERE / f"full-{trial.number}").touch()
            (HERE / "full").touch()
            raise OSError(errno.ENOSPC, "No space left on device")
        (HERE / "started").touch()
        wait_for("full")
        return trial.params.x
    """


def test_a_machine_whose_own_disk_is_full_gets_no_more_trials_and_loses_none(
    make_sweep: MakeSweep, project: Path
) -> None:
    runs = project / "runs"
    runs.mkdir()
    file = make_sweep(FULL, stop={"trials": 6}, trial={"retries": 0})
    with SeparateNodes([runs]) as nodes:
        nodes.add(1)
        done = call("run", file, "--address", nodes.address, env=nodes.env)
        rows = json.loads(call("trials", "demo", "--format", "json").stdout)
    assert "No space left on device. Free some disk space first; the others run on" in done.stdout
    assert [row["state"] for row in rows] == ["COMPLETE"] * 6
    (moved,) = (int(path.name.removeprefix("full-")) for path in project.glob("full-*"))
    assert [row["number"] for row in rows if row["attempts"] > 1] == [moved]
