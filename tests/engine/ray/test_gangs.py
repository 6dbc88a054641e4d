"""Trials that several workers run together (`resources.workers`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

import sweep
from sweep.system import processes
from sweep.tracking.read import read_scalars
from tests.commands import PATIENCE, sweep_command
from tests.conftest import MakeSweep
from tests.engine.ray.test_faults import wait_for

pytestmark = pytest.mark.usefixtures("ray_cluster")

WORKERS = {"cpu": 1, "workers": 3}


def outputs(trial: sweep.TrialResult) -> list[str]:
    """What each rank has printed."""
    names = ["output.log", "output-rank1.log", "output-rank2.log"]
    return [(trial.directory / name).read_text() for name in names]


def left_behind(trial: sweep.TrialResult) -> list[psutil.Process]:
    return processes.find([trial.directory])


def test_each_worker_calls_the_objective_with_its_rank_and_rank_0_alone_counts(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os
        from pathlib import Path
        from tensorboardX import SummaryWriter

        def train(trial):
            rank = int(os.environ["RANK"])
            names = ["LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR"]
            print(rank, *(os.environ[name] for name in names), trial.params.x)
            print("pid", os.getpid())
            print("port", os.environ["MASTER_PORT"])
            writer = SummaryWriter(str(trial.directory / "own"))
            for step in range(2):
                trial.report(10 * rank + step, step)
                writer.add_scalar("written", 10 * rank + step, step)
            writer.close()
            with trial.checkpoint.save(step=1) as path:
                (path / "state").write_text(str(rank))
            (trial.directory / f"saved-{rank}").touch()
            trial.save_artifact(trial.directory / f"saved-{rank}")
            trial.set_user_attr("rank", rank)
            return 10 * rank + 1
        """,
        resources=WORKERS,
        stop={"trials": 2},
        max_parallel=1,
    )
    result = sweep.run(file)
    pids, ports = [], []
    for trial in result.trials:
        assert (trial.reason, trial.value) == (None, 1.0)
        lines = [text.splitlines() for text in outputs(trial)]
        x = trial.params["x"]
        assert [line[0] for line in lines] == [f"{rank} {rank} 3 3 0 127.0.0.1 {x}" for rank in range(3)]
        pids.append([line[1] for line in lines])
        ports += [line[2] for line in lines]
        curves = read_scalars(trial.directory)
        assert curves["loss"] == curves["written"] == {0: 0.0, 1: 1.0}
        assert [path.name for path in (trial.directory / "artifacts").iterdir()] == ["saved-0"]
        assert (trial.directory / "checkpoint" / "0000-step-1" / "state").read_text() == "0"
        assert trial.user_attrs == {"rank": 0}
        assert len(set(ports)) == 1
        ports.clear()
    assert pids[0] == pids[1], "the workers stay warm"


ENDS = """
    import os, signal, subprocess, sys, time
    import sweep

    def train(trial):
        rank = os.environ["RANK"]
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        if trial.number == 0 and rank == "0":
            trial.report(1.0, 0)
            raise sweep.TrialPruned
        if trial.number == 1 and rank == "1":
            raise ValueError("no data")
        if trial.number == 2 and rank == "2":
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number == 3 and rank == "0":
            return 1.0
        time.sleep(600)
"""


def test_the_end_of_one_rank_is_the_end_of_the_attempt_and_leaves_no_process(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_sweep(
        ENDS,
        resources=WORKERS,
        stop={"trials": 3, "failures": "unlimited"},
        trial={"retries": 0},
    )
    pruned, failed, killed = sweep.run(file).trials
    assert (pruned.state, pruned.value) == ("PRUNED", 1.0)
    assert failed.reason == "rank 1: ValueError: no data"
    assert "no data" in (failed.directory / "error.txt").read_text()
    assert killed.reason == "rank 2: its process crashed or was killed"
    for trial in (pruned, failed, killed):
        assert left_behind(trial) == []


def test_a_trial_of_several_workers_that_exceeds_its_time_limit_is_ended_on_all_ranks(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(
        """
        import subprocess, sys, time

        def train(trial):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            time.sleep(600)
        """,
        resources=WORKERS,
        stop={"trials": 1},
        trial={"timeout": 3, "retries": 0},
    )
    (trial,) = sweep.run(file).trials
    assert trial.reason == "ran longer than 3 s"
    assert left_behind(trial) == []


def test_a_retry_resumes_on_all_ranks_from_the_checkpoint_of_rank_0(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import os, signal, time

        def train(trial):
            rank = os.environ["RANK"]
            while rank == "1" and not list(trial.directory.glob("checkpoint/0*")):
                time.sleep(0.05)  # rank 0 saves before this one looks
            found = trial.checkpoint.latest()
            if found is not None:
                print("resumed at", found.step, (found.path / "state").read_text())
                return 1.0
            with trial.checkpoint.save(step=4) as path:
                (path / "state").write_text(f"rank {rank}")
            if rank == "1":
                os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        """,
        resources=WORKERS,
        stop={"trials": 1},
    )
    (trial,) = sweep.run(file).trials
    assert (trial.state, trial.attempts) == ("COMPLETE", 2)
    assert all("resumed at 4 rank 0" in text for text in outputs(trial))


def test_a_script_runs_once_in_each_worker(make_sweep: MakeSweep, project: Path) -> None:
    (project / "train.py").write_text(
        "import os, sys, sweep\n"
        "rank = int(os.environ['RANK'])\n"
        "print('rank', rank, sys.argv[1:], os.environ['PET_NNODES'], os.environ['PET_NODE_RANK'])\n"
        "print('{\"printed\": %d}' % rank)\n"
        "sweep.report(rank)\n"
        "if sys.argv[1] == 'stuck':\n"
        "    import time; time.sleep(0 if rank == 1 else 600)\n"
        "    sys.exit('rank 1 has no data')\n"
    )
    keys = {
        "command": ["${interpreter}", "train.py", "${kind}", "${workers}", "${node_rank}", "${gpus}"],
        "resources": WORKERS,
        "parameters": {"kind": {"values": ["fine", "stuck"]}},
        "sampler": {"type": "grid"},
        "trial": {"retries": 0},
    }
    (project / "script.yaml").write_text(
        yaml.safe_dump({**keys, "metric": {"name": "loss", "goal": "minimize"}})
    )
    fine, stuck = sorted(
        sweep.run(project / "script.yaml").trials, key=lambda trial: str(trial.params["kind"])
    )
    assert (fine.state, fine.value) == ("COMPLETE", 0.0)
    assert read_scalars(fine.directory)["printed"] == {0: 0.0}
    for rank, text in enumerate(outputs(fine)):
        assert f"rank {rank} ['fine', '3', '{rank}', '1'] 3 {rank}" in text
    assert stuck.reason == "rank 1: exit status 1: rank 1 has no data"
    assert left_behind(stuck) == []


def test_a_stopped_script_has_its_time_to_save_on_all_ranks(project: Path) -> None:
    (project / "train.py").write_text(
        "import os, signal, sys, time\n"
        "rank = int(os.environ['RANK'])\n"
        "def save(*_):\n"
        "    time.sleep(0 if rank else 8)\n"
        "    open(f'saved{rank}', 'w').close()\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "open(f'ready{rank}', 'w').close()\n"
        "time.sleep(600)\n"
    )
    keys = {"program": "train.py", "resources": {"cpu": 0.1, "workers": 2}, "parameters": {"x": 1}}
    (project / "script.yaml").write_text(
        yaml.safe_dump({**keys, "metric": {"name": "loss", "goal": "minimize"}})
    )
    running = subprocess.Popen(sweep_command("run", project / "script.yaml", "--grace=60s", "-n", 1))
    wait_for(lambda: all((project / f"ready{rank}").exists() for rank in (0, 1)))
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE) == 130
    assert (project / "saved0").exists()
    assert (project / "saved1").exists()


def test_a_gang_waits_until_there_is_room_for_all_of_it(make_sweep: MakeSweep) -> None:
    with pytest.raises(
        sweep.InputError,
        match="a trial has workers: 99, each with cpu: 1, gpu: 0, and there is room for 8; write workers: 8",
    ):
        sweep.run(make_sweep("def train(trial): return 1.0", resources={"cpu": 1, "workers": 99}))


TRAIN = """
import argparse, os, time
import torch
import torch.distributed as dist
import sweep

def run(x, report, should_prune):
    dist.init_process_group("gloo")
    names = [None] * dist.get_world_size()
    dist.all_gather_object(names, x)
    assert len(set(names)) == 1, names  # no rank of another trial
    for step in range(3):
        value = torch.tensor([1.0])
        dist.all_reduce(value)
        report(value.item() + 100 * (x == 0.5), step)
        if should_prune():
            raise sweep.TrialPruned
        print("rank", dist.get_rank(), "step", step, flush=True)
        time.sleep(3 if x == 0.5 else 0)
    return value.item()

def train(trial):
    return run(trial.params.x, trial.report, trial.should_prune)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=float)
    run(parser.parse_args().x, sweep.report, lambda: False)
    dist.destroy_process_group()
"""
KEYS = {
    "metric": {"name": "size", "goal": "minimize"},
    "pruner": {"type": "threshold", "upper": 50},
    "parameters": {"x": {"values": [0.0, 0.25, 0.5]}},
    "sampler": {"type": "grid"},
    "trial": {"retries": 0},
}


def check(trials: list[sweep.TrialResult], size: int) -> None:
    """All trials have completed with this number of ranks, but the last, which was pruned as a whole."""
    *complete, pruned = sorted(trials, key=lambda trial: float(trial.params["x"]))
    assert ({trial.state for trial in complete}, pruned.state) == ({"COMPLETE"}, "PRUNED"), trials
    for trial in complete:
        assert trial.value == size
        assert read_scalars(trial.directory)["size"] == dict.fromkeys(range(3), float(size))
    assert pruned.value == 100 + size
    assert not any(map(left_behind, trials))


def test_two_torchruns_at_once_on_one_machine_do_not_collide(project: Path) -> None:
    (project / "train.py").write_text(TRAIN)
    keys = {
        **KEYS,
        "command": ["torchrun", "--nproc-per-node", "${gpus}", "train.py", "${args}"],
        "resources": {"cpu": 1, "gpu": 2},
    }
    (project / "torchrun.yaml").write_text(yaml.safe_dump(keys))
    result = sweep.run(project / "torchrun.yaml")
    check(result.trials, size=2)
    output = (result.trials[0].directory / "output.log").read_text()
    assert all(f"rank {rank} step 2" in output for rank in (0, 1))


ON_TWO_MACHINES = """
import sys
import ray
from ray.cluster_utils import Cluster
from sweep.cli import main

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
cluster.add_node(num_cpus=2)
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
for file in ("function.yaml", "script.yaml"):
    sys.argv = ["sweep", "run", file, "--plain"]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, end.code
ray.shutdown()
cluster.shutdown()
"""


def test_a_gloo_training_over_two_machines_reports_once_and_is_pruned_as_a_whole(project: Path) -> None:
    (project / "train.py").write_text(TRAIN)
    command = ["torchrun", "--nproc-per-node", "2", "train.py", "${args}"]
    function = {"objective": "train.py:train", "resources": {"cpu": 1, "workers": 4}}
    script = {"command": command, "resources": {"cpu": 2, "workers": 2}}
    for name, keys in (("function", function), ("script", script)):
        spec = {**KEYS, **keys, "parameters": {"x": {"values": [0.0, 0.5]}}}
        (project / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    env = {
        name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "OMP_NUM_THREADS")
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_MACHINES], capture_output=True, text=True, timeout=3 * PATIENCE, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("function", "script"):
        check(sweep.load(project / "runs" / name).trials, size=4)
