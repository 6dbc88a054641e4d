"""A sweep on a Ray cluster of pretended machines with pretended GPUs, checked for what each trial was given.

For example: scripts/gpu_cluster.py --machines 8 --gpus 8 --trials 1000 --share 1 --seconds 20

The machines are Ray nodes on this one. Each trial writes when it ran, where, and on which GPU; the script
then checks that no GPU was given to more than its whole at any time, and prints how busy the slots were.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.commands import sweep_command
from tests.machines import started_machines

LOG = "gpus.jsonl"
OBJECTIVE = """
import json, os, time
import ray

def train(trial):
    start = time.time()
    time.sleep({seconds})
    node = ray.get_runtime_context().get_node_id()
    gpus = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    with open("{log}", "a") as file:
        file.write(json.dumps([node, gpus, start, time.time(), trial.number]) + "\\n")
    return trial.params.x
"""


def most_at_once(intervals: list[tuple[float, float]]) -> tuple[int, float]:
    """The largest number of intervals that overlap, and when it is first reached."""
    changes = sorted([(start, 1) for start, _ in intervals] + [(end, -1) for _, end in intervals])
    count = most = 0
    reached = changes[0][0]
    for moment, change in changes:
        count += change
        if count > most:
            most, reached = count, moment
    return most, reached


@dataclass(frozen=True)
class Given:
    """What the sweep runs.

    Args:
        trials: the number of trials.
        share: the GPUs of each, or its share of one.
        seconds: how long each takes.
    """

    trials: int
    share: float
    seconds: float


@dataclass(frozen=True)
class Found:
    """What the trials have written.

    Args:
        gpus: the number of GPUs that were used.
        machines: the number of machines on which trials ran.
        at_once: the largest number of trials at once.
        on_a_gpu: the largest number of trials at once on a GPU.
        seconds: from the start of the first trial to the end of the last one.
        busy: the share of the time of all slots in which a trial ran, from the first start to the last end.
        steady: the same from when all slots were used for the first time until the last trial started.
    """

    gpus: int
    machines: int
    at_once: int
    on_a_gpu: int
    seconds: float
    busy: float
    steady: float


def run_sweep(address: str, given: Given, objective: str = OBJECTIVE) -> None:
    """Run a sweep named `gpus` in the current folder, on the cluster with this address."""
    Path("train.py").write_text(objective.format(seconds=given.seconds, log=Path(LOG).absolute()))
    spec = {
        "objective": "train.py:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
        "sampler": {"type": "random", "seed": 1},
        "resources": {"cpu": 0, "gpu": given.share},
        "stop": {"trials": given.trials},
    }
    Path("gpus.yaml").write_text(json.dumps(spec))
    command = sweep_command("run", "gpus.yaml", "--address", address)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def check(log: Path, given: Given) -> Found:
    """Check what trials were given: each ran once, and no GPU was given to more than its whole."""
    runs = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(run[4] for run in runs) == list(range(given.trials)), "each trial ran once"
    by_gpu: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for node, gpus, start, end, _ in runs:
        assert len(gpus) == max(1, round(given.share)), gpus
        for gpu in gpus:
            by_gpu.setdefault((node, gpu), []).append((start, end))
    most = max(most_at_once(intervals)[0] for intervals in by_gpu.values())
    assert most * min(given.share, 1) <= 1 + 1e-9, f"{most} trials at once on a GPU, each with {given.share}"
    first, last = min(run[2] for run in runs), max(run[3] for run in runs)
    at_once, all_busy = most_at_once([(run[2], run[3]) for run in runs])
    last_start = max(run[2] for run in runs)
    steady = sum(max(0.0, min(end, last_start) - max(start, all_busy)) for _, _, start, end, _ in runs)
    return Found(
        gpus=len(by_gpu),
        machines=len({node for node, _ in by_gpu}),
        at_once=at_once,
        on_a_gpu=most,
        seconds=last - first,
        busy=sum(end - start for _, _, start, end, _ in runs) / at_once / (last - first),
        steady=steady / at_once / max(1e-9, last_start - all_busy),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--machines", type=int, default=8)
    parser.add_argument("--gpus", type=int, default=8, help="of each machine")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--share", type=float, default=1, help="GPUs of each trial")
    parser.add_argument("--seconds", type=float, default=20, help="how long each trial takes")
    options = parser.parse_args()
    given = Given(options.trials, options.share, options.seconds)
    with tempfile.TemporaryDirectory() as folder, started_machines() as machines:
        os.chdir(folder)
        for _ in range(options.machines):
            machines.add(cpus=2, gpus=options.gpus)
        run_sweep(machines.address, given)
        found = check(Path(LOG), given)
    print(
        f"{given.trials} trials on {found.gpus} GPUs of {found.machines} machines in {found.seconds:.0f} s, "
        f"{found.at_once} at once, at most {found.on_a_gpu} at once on a GPU; "
        f"slots busy: {found.busy:.1%}; while there was work for all of them: {found.steady:.1%}"
    )


if __name__ == "__main__":
    main()
