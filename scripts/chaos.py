#!/usr/bin/env python3
"""Runs a sweep while killing its processes at random, then checks that nothing was lost.

    python scripts/chaos.py --minutes 15 --seed 1

SIGKILL is sent to workers, the controller, the driver (the process of `sweep run`, which is then restarted
at once with the same command), Ray's raylet on this machine, and all processes of a node of a cluster that
the sweep has joined. Nodes are drained, too: it is announced that they leave. There are two clusters on this
machine: the nodes of one share the disk, those of the other have separate ones (in mount namespaces, if the
user can create them). Where Slurm is installed, the sweep runs in jobs of a Slurm on this machine, too, which
are cancelled and requeued. The trials train nothing, but save checkpoints and resume from them.

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from chaos_invariants import MARK, REPOSITORY, check, title_of
from chaos_kinds import EVERYWHERE, KINDS, KillDriver, Kind, Place
from chaos_nodes import Machines, NodesWithoutSharedDisk, SharedNodes
from chaos_slurm import SlurmJobs
from separate_nodes import can_separate

SLOTS = 4
_ENDLESS = 1_000_000


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
        self.machines: Machines | None = None
        """Where its trials run; None if it runs on its own Ray."""
        self.violations: list[str] = []
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

    def start(self, trials: int, machines: Machines | None = None) -> None:
        """Start `sweep run`, on its own Ray or on other machines."""
        self.machines = machines
        arguments, env = (machines.arguments, machines.env) if machines is not None else ((), {})
        command = [sys.executable, "-c", "from sweep.cli import main; main()", "run", "chaos.yaml", "--plain"]
        command += ["-n", str(trials), "--grace", "5", *arguments]
        environment = {**os.environ, **env, MARK: self.folder.name, "RAY_USAGE_STATS_ENABLED": "0"}
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

        found = {process.pid: process for process in find([self.root], [self.root / ".fence"])}
        if self.machines is not None:
            own = [
                process for process in self.machines.processes() if title_of(process).startswith("ray::Ray")
            ]
            found |= {process.pid: process for process in own}
        return [process for process in found.values() if title_of(process).startswith(title)]

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


class Chaos:
    """Kills processes at random and records what happens.

    Args:
        sweep: the sweep.
        elsewhere: where it can run besides its own Ray.
        seed: the seed of the random choices.
        kinds: what is done to it.
    """

    def __init__(
        self, sweep: Sweep, elsewhere: Mapping[Place, Machines], seed: int, kinds: Sequence[Kind] = KINDS
    ) -> None:
        self._sweep = sweep
        self._elsewhere = elsewhere
        self._random = random.Random(seed)
        places = {"alone", *elsewhere}
        self._kinds = [kind for kind in kinds if places.intersection(kind.places)]
        self._deck: list[Kind] = []
        self._place: Place = "alone"
        self.record = Record(violations=sweep.violations)

    def run(self, minutes: float, trials: int, most: int | None) -> None:
        """Strike for some minutes, at most `most` times; then let the sweep finish `trials` trials."""
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end and (most is None or sum(self.record.kills.values()) < most):
            kind = self._draw()
            if not self._sweep.is_running():
                self._start(_ENDLESS, kind.places)
            elif self._place not in kind.places:
                self._interrupt()
                self._start(_ENDLESS, kind.places)
            if not isinstance(kind, KillDriver) or self._random.random() < 0.7:
                self._wait_for_workers()
            if self._random.random() < 0.3:
                self._wait_for_progress()
            time.sleep(self._random.uniform(0.2, 4.0))
            self._check_finished()
            self._strike(kind)
        if self._sweep.is_running():
            self._interrupt()
        total = max(trials, len(self._sweep.trials()))
        print(f"no more kills; {total} trials will be finished", flush=True)
        self._start(total, EVERYWHERE)
        status = self._sweep.wait(600)
        if status != 0:
            self.record.violations.append(f"the last run exited with status {status}")
        for machines in self._elsewhere.values():
            self.record.violations += machines.problems()
        self._check_finished()

    def _draw(self) -> Kind:
        if not self._deck:
            self._deck = [kind for kind in self._kinds for _ in range(kind.weight)]
            self._random.shuffle(self._deck)
        return self._deck.pop()

    def _start(self, trials: int, places: Sequence[Place]) -> None:
        possible = [place for place in places if place == "alone" or place in self._elsewhere]
        weights = [4 if place == "alone" else 1 for place in possible]
        (self._place,) = self._random.choices(possible, weights)
        self.record.driver_starts += 1
        self._sweep.start(trials, self._elsewhere.get(self._place))

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
                self._start(_ENDLESS, [self._place])
            if time.monotonic() > end:
                raise TimeoutError("no worker has been started")
            time.sleep(0.1)

    def _wait_for_progress(self) -> None:
        """Wait until another trial has finished: on a busy machine, kills alone would not let it."""
        before, end = self._finished(), time.monotonic() + 60
        while self._sweep.is_running() and self._finished() == before and time.monotonic() < end:
            time.sleep(0.2)

    def _finished(self) -> int:
        return sum(trial.state.is_finished() for trial in self._sweep.trials())

    def _strike(self, kind: Kind) -> None:
        if not kind.strike(self._sweep, self._random):
            self._deck.append(kind)
            return
        self.record.kills[kind.name] += 1
        finished = len(self.record.finished)
        print(
            f"kill {sum(self.record.kills.values()):3}: {kind.name:10} ({finished} trials have finished)",
            flush=True,
        )

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
    lines += [f"| {kind} | {record.kills[kind]} |" for kind in (one.name for one in KINDS)]
    lines += [f"| **all** | {sum(record.kills.values())} |", "", "| found | |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in facts.items()]
    lines += [
        "",
        f"Seed {seed}, {seconds / 60:.1f} minutes, the driver was started {record.driver_starts} times.",
    ]
    return "\n".join(lines)


@contextmanager
def folder(keep: Path | None) -> Iterator[Path]:
    """A folder for the sweep, which is removed unless it is kept."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="sweep-chaos-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="how long to kill processes (default 15)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the random choices (default 1)")
    parser.add_argument("--trials", type=int, default=200, help="the least number of trials (default 200)")
    parser.add_argument("--kills", type=int, help="the largest number of kills (default: no limit)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the directory of the sweep, which is kept")
    names = [kind.name for kind in KINDS]
    parser.add_argument("--kinds", nargs="*", choices=names, default=names, help="only some kinds of kills")
    options = parser.parse_args()
    began = time.monotonic()
    os.environ[MARK] = ""
    with folder(options.keep) as path:
        kinds = [kind for kind in KINDS if kind.name in options.kinds]
        needed = {place for kind in kinds if kind.places is not EVERYWHERE for place in kind.places}
        elsewhere: dict[Place, Machines] = {}
        if "shared disk" in needed:
            elsewhere["shared disk"] = SharedNodes()
        if "separate disks" in needed and can_separate():
            elsewhere["separate disks"] = NodesWithoutSharedDisk(path)
        if "slurm" in needed and shutil.which("sbatch"):
            elsewhere["slurm"] = SlurmJobs()
        sweep = Sweep(path)
        chaos = Chaos(sweep, elsewhere, options.seed, kinds)
        try:
            chaos.run(options.minutes, options.trials, options.kills)
            facts = check(sweep, chaos.record)
        finally:
            if sweep.is_running() and sweep.driver is not None:
                sweep.driver.kill()
            for machines in elsewhere.values():
                machines.shutdown()
        for violation in chaos.record.violations:
            print(f"violation: {violation}")
        print()
        print(table(chaos.record, facts, options.seed, time.monotonic() - began))
    return 0 if all(count == 0 for name, count in facts.items() if name != "trials") else 1


if __name__ == "__main__":
    sys.exit(main())
