#!/usr/bin/env python3
"""Runs a sweep while killing its processes at random, then checks that nothing was lost.

    python scripts/chaos.py --minutes 15 --seed 1

SIGKILL is sent to workers, the controller, the driver (the process of `sweep run`, which is then restarted
at once with the same command), Ray's raylet on this machine, and all processes of a node of a
`ray.cluster_utils.Cluster` that the sweep has joined. The trials train nothing, but save checkpoints and
resume from them.

When the time is up, the sweep runs to its end without kills. Then the invariants are checked: every trial has
exactly one outcome, a finished trial was never changed or started again, no process is left, plain Optuna
reads the journal, and TensorBoard, queried over HTTP with both of its loaders, agrees with the study on every
row and every curve. The exit status is 0 if all invariants hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from chaos_invariants import MARK, REPOSITORY, check, title_of

DECK = ["worker"] * 8 + ["driver"] * 5 + ["controller"] * 4 + ["raylet"] * 2 + ["node"]
SLOTS = 4


@dataclass
class Record:
    """The kills, and the finished trials as they were at each kill."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    """State, value and end of each trial when it was first seen finished."""
    violations: list[str] = field(default_factory=list)
    driver_starts: int = 0


class Sweep:
    """The sweep whose processes are killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "runs" / "chaos"
        self.log = open(folder / "driver.log", "a")  # noqa: SIM115 - open until the script exits
        self.driver: subprocess.Popen[bytes] | None = None
        self.address: str | None = None
        (folder / "chaos.yaml").write_text(
            json.dumps(
                {
                    "name": "chaos",
                    "objective": f"{REPOSITORY}/scripts/chaos_objective.py:train",
                    "metric": {"name": "loss", "goal": "minimize"},
                    "sampler": {"type": "tpe", "seed": 3},
                    "parameters": {"x": {"min": 0.0, "max": 1.0}},
                    "resources": {"cpu": 0.5},
                    "max_parallel": SLOTS,
                    "trial": {"retries": 1000},
                }
            )
        )

    def start(self, trials: int, address: str | None) -> None:
        """Start `sweep run`."""
        self.address = address
        command = [sys.executable, "-c", "from sweep.cli import main; main()", "run", "chaos.yaml", "--plain"]
        command += ["-n", str(trials), "--grace", "5"] + (["--address", address] if address else [])
        environment = {**os.environ, MARK: self.folder.name, "RAY_USAGE_STATS_ENABLED": "0"}
        self.log.write(f"--- {time.time()} {' '.join(command[3:])}\n")
        self.log.flush()
        self.driver = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def output(self) -> list[str]:
        """The output lines of all drivers."""
        return (self.folder / "driver.log").read_text().splitlines()

    def is_running(self) -> bool:
        return self.driver is not None and self.driver.poll() is None

    def wait(self, seconds: float) -> int:
        assert self.driver is not None
        return self.driver.wait(seconds)

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Running processes of the sweep whose title begins with `title`."""
        from sweep.system.processes import find

        found = find([self.root], [self.root / ".fence"])
        return [process for process in found if title_of(process).startswith(title)]

    def has_workers(self) -> bool:
        """Whether a worker has been started."""
        return bool(self.processes("ray::RayWorker"))

    def trials(self) -> list[Any]:
        """The trials, read with plain Optuna."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal = self.root / "journal.log"
        if not journal.exists():
            return []
        with suppress(KeyError):
            storage = JournalStorage(JournalFileBackend(str(journal)))
            return list(optuna.load_study(study_name="chaos", storage=storage).trials)
        return []


class Nodes:
    """A Ray cluster of three nodes on this machine, started when it is first used."""

    def __init__(self) -> None:
        self._cluster: Any = None
        self._nodes: list[Any] = []

    @property
    def address(self) -> str:
        if self._cluster is None:
            from ray.cluster_utils import Cluster

            self._cluster = Cluster()
            self._join(include_dashboard=False)  # the head
            self._nodes = [self._join() for _ in range(2)]
        return str(self._cluster.address)

    def kill_node(self, which: int) -> None:
        """Kill the raylet of a node and its child processes, then add another node."""
        node = self._nodes.pop(which % len(self._nodes))
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        victims = [raylet, *raylet.children(recursive=True)]
        for process in victims:
            with suppress(psutil.Error):
                process.kill()
        with suppress(Exception):
            self._cluster.remove_node(node, allow_graceful=False)
        self._nodes.append(self._join())

    def _join(self, **options: Any) -> Any:
        assert self._cluster is not None
        with suppress(Exception):  # on a busy machine it can take longer than Ray's timeout of 30 s
            return self._cluster.add_node(num_cpus=1, **options)
        return self._cluster.add_node(num_cpus=1, **options)

    def shutdown(self) -> None:
        if self._cluster is not None:
            self._cluster.shutdown()


class Chaos:
    """Kills processes at random and records what happens.

    Args:
        sweep: the sweep.
        nodes: the cluster whose nodes are killed.
        seed: the seed of the random choices.
    """

    def __init__(self, sweep: Sweep, nodes: Nodes, seed: int) -> None:
        self._sweep = sweep
        self._nodes = nodes
        self._random = random.Random(seed)
        self._deck: list[str] = []
        self.record = Record()

    def run(self, minutes: float, trials: int, most: int | None) -> None:
        """Kill for some minutes, at most `most` times; then let the sweep finish `trials` trials."""
        end = time.monotonic() + 60 * minutes
        endless = 1_000_000
        while time.monotonic() < end and (most is None or sum(self.record.kills.values()) < most):
            kind = self._draw()
            if not self._sweep.is_running():
                self._start(endless, kind)
            elif (kind == "node") != (self._sweep.address is not None) and kind in ("node", "raylet"):
                self._interrupt()
                self._start(endless, kind)
            if kind != "driver" or self._random.random() < 0.7:
                self._wait_for_workers()
            time.sleep(self._random.uniform(0.2, 4.0))
            self._check_finished()
            self._kill(kind)
        if self._sweep.is_running():
            self._interrupt()
        total = max(trials, len(self._sweep.trials()))
        print(f"no more kills; {total} trials will be finished", flush=True)
        self._start(total, "")
        status = self._sweep.wait(600)
        if status != 0:
            self.record.violations.append(f"the last run exited with status {status}")
        self._check_finished()

    def _draw(self) -> str:
        if not self._deck:
            self._deck = list(DECK)
            self._random.shuffle(self._deck)
        return self._deck.pop()

    def _start(self, trials: int, kind: str) -> None:
        wants_nodes = kind == "node" or (kind != "raylet" and self._random.random() < 0.3)
        self.record.driver_starts += 1
        self._sweep.start(trials, self._nodes.address if wants_nodes else None)

    def _interrupt(self) -> None:
        """Send SIGTERM. The driver has to exit in its grace period, with the status for an interruption."""
        assert self._sweep.driver is not None
        if not self._sweep.has_workers():
            self._wait_for_workers()
        self._sweep.driver.send_signal(signal.SIGTERM)
        status = self._sweep.wait(180)
        if status not in (143, -15):
            self.record.violations.append(f"after SIGTERM it exited with status {status}")

    def _wait_for_workers(self) -> None:
        end = time.monotonic() + 300
        while not self._sweep.has_workers():
            if not self._sweep.is_running():
                status = self._sweep.wait(1)
                errors = [line for line in self._sweep.output() if "rror" in line][-1:]
                self.record.violations.append(f"the driver exited with status {status}: {errors}")
                self._start(1_000_000, "")
            if time.monotonic() > end:
                raise TimeoutError("no worker has been started")
            time.sleep(0.1)

    def _kill(self, kind: str) -> None:
        if kind == "node":
            self._nodes.kill_node(self._random.randrange(2))
        else:
            victims = self._victims(kind)
            if not victims:  # it was killed before, and has not been restarted yet
                self._deck.append(kind)
                return
            victim = self._random.choice(sorted(victims, key=lambda process: process.pid))
            with suppress(psutil.NoSuchProcess):
                victim.kill()
            if kind == "driver":
                self._sweep.wait(180)
        self.record.kills[kind] += 1
        finished = len(self.record.finished)
        print(
            f"kill {sum(self.record.kills.values()):3}: {kind:10} ({finished} trials have finished)",
            flush=True,
        )

    def _victims(self, kind: str) -> list[psutil.Process]:
        assert self._sweep.driver is not None
        driver = psutil.Process(self._sweep.driver.pid)
        if kind == "driver":
            return [driver] if self._sweep.is_running() else []
        if kind == "raylet":
            with suppress(psutil.Error):
                return [child for child in driver.children() if child.name() == "raylet"]
            return []
        titles = {"worker": "ray::RayWorker", "controller": "ray::RayController"}
        return self._sweep.processes(titles[kind])

    def _check_finished(self) -> None:
        """Check that trials that were finished before have not changed."""
        for trial in self._sweep.trials():
            if trial.state.is_finished():
                facts = (trial.state.name, trial.value, trial.datetime_complete)
                if self.record.finished.setdefault(trial.number, facts) != facts:
                    self.record.violations.append(f"trial {trial.number} was {facts} and has changed")


def table(record: Record, facts: Mapping[str, int], seed: int, seconds: float) -> str:
    """The results as a Markdown table."""
    lines = ["| kills | |", "|---|---|"]
    lines += [f"| {kind} | {record.kills[kind]} |" for kind in dict.fromkeys(DECK)]
    lines += [f"| **all** | {sum(record.kills.values())} |", "", "| found | |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in facts.items()]
    lines += [
        "",
        f"Seed {seed}, {seconds / 60:.1f} minutes, the driver was started {record.driver_starts} times.",
    ]
    return "\n".join(lines)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="sweep-chaos-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="how long to kill processes (default 15)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the random choices (default 1)")
    parser.add_argument("--trials", type=int, default=200, help="the least number of trials (default 200)")
    parser.add_argument("--kills", type=int, help="the largest number of kills (default: no limit)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the directory of the sweep, which is kept")
    options = parser.parse_args()
    began = time.monotonic()
    os.environ[MARK] = ""
    nodes = Nodes()
    with _folder(options.keep) as folder:
        sweep = Sweep(folder)
        chaos = Chaos(sweep, nodes, options.seed)
        try:
            chaos.run(options.minutes, options.trials, options.kills)
            facts = check(sweep, chaos.record)
        finally:
            if sweep.is_running() and sweep.driver is not None:
                sweep.driver.kill()
            nodes.shutdown()
        for violation in chaos.record.violations:
            print(f"violation: {violation}")
        print()
        print(table(chaos.record, facts, options.seed, time.monotonic() - began))
    return 0 if all(count == 0 for name, count in facts.items() if name != "trials") else 1


if __name__ == "__main__":
    sys.exit(main())
