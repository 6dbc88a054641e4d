#!/usr/bin/env python3
"""Runs a sweep in Slurm jobs of a minute, cancels and requeues jobs at random, then checks the results.

    python scripts/slurm_chaos.py --seed 1

Slurm runs on this machine, for this script alone (`tests/slurm.py`). Besides the jobs that reach their time
limit, jobs are ended by `scancel` and `scontrol requeue`, and the driver (the process of `sweep run`) by
SIGKILL; it is then started again with the same command. The trials train nothing, but save checkpoints and
resume from them.

The exit status is 0 if all invariants hold: those of `chaos.py`, and no attempt started from zero, or from an
earlier checkpoint, after its trial had saved one.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import chaos
import chaos_objective
from chaos import Record, Sweep
from chaos_invariants import MARK, check
from chaos_kinds import DRIVER, REQUEUE, SCANCEL
from chaos_slurm import SlurmJobs

_LONGEST = 1800.0
"""How long the sweep may take, in seconds."""


class SlurmChaos:
    """Ends jobs and the driver at random.

    Attributes:
        record: what has been done, and the violations.
    """

    def __init__(self, sweep: Sweep, jobs: SlurmJobs, options: argparse.Namespace) -> None:
        self._sweep = sweep
        self._jobs = jobs
        self._trials, self._pause = options.trials, options.pause
        self._random = random.Random(options.seed)
        self._deck = [SCANCEL] * options.scancels + [REQUEUE] * options.requeues
        self._random.shuffle(self._deck)
        for _ in range(options.drivers):  # not the last one
            self._deck.insert(self._random.randrange(max(1, len(self._deck))), DRIVER)
        self.record = Record()

    def run(self) -> None:
        """Run the sweep to its end."""
        end = time.monotonic() + _LONGEST
        self._start()
        while self._deck and time.monotonic() < end:
            time.sleep(self._pause * self._random.uniform(0.5, 1.5))
            if not self._sweep.is_running():
                self.record.violations.append(f"the sweep has ended with {len(self._deck)} kills left")
                break
            kind = self._deck[-1]
            if self._jobs.has_joined(self._sweep.root) and kind.strike(self._sweep, self._random):
                self.record.kills[self._deck.pop().name] += 1
                print(f"{self.record.kills.total():3}: {dict(self.record.kills)}", flush=True)
                if kind is DRIVER:
                    self._start()
        status = self._sweep.wait(max(1.0, end - time.monotonic()))
        if status != 0:
            self.record.violations.append(f"the last run exited with status {status}")
        self.record.violations += self._jobs.problems()

    def _start(self) -> None:
        self.record.driver_starts += 1
        self._sweep.start(self._trials, self._jobs)


def resumes(root: Path) -> Counter[str]:
    """How attempts after the first one have started: from the last checkpoint, an earlier one, or zero."""
    found: Counter[str] = Counter(
        {
            "attempts that resumed": 0,
            "started from zero with a checkpoint": 0,
            "from an earlier checkpoint": 0,
        }
    )
    for diary in root.glob("trial-*/diary.txt"):
        saved, is_new = -1, False
        for line in diary.read_text().splitlines():
            what, number = line.split(" ", 2)[2].partition(" ")[::2]
            if what == "start":
                is_new = True
            elif what == "saved":
                saved = int(number)
            elif what == "step" and is_new:
                is_new = False
                if saved >= 0:
                    found["attempts that resumed"] += int(number) > saved
                    found["started from zero with a checkpoint"] += int(number) == 0
                    found["from an earlier checkpoint"] += 0 < int(number) <= saved
    return found


def reached_limit(root: Path) -> int:
    """How many jobs have reached their time limit."""
    return sum("time limit" in log.read_text() for log in (root / "slurm").glob("*.log"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed of the random choices (default 1)")
    parser.add_argument("--trials", type=int, default=30, help="the number of trials (default 30)")
    parser.add_argument("--scancels", type=int, default=10, help="how many jobs are cancelled (default 10)")
    parser.add_argument("--requeues", type=int, default=10, help="how many jobs are requeued (default 10)")
    parser.add_argument("--drivers", type=int, default=0, help="how often the driver is killed (default 0)")
    parser.add_argument(
        "--limit", default="1", help="the time limit of a job, for sbatch (default 1: a minute)"
    )
    parser.add_argument("--nodes", default="0..3", help="the number of jobs (default 0..3)")
    parser.add_argument("--slowness", type=float, default=25, help="1: a trial takes 2 s (default 25: 45 s)")
    parser.add_argument("--pause", type=float, default=10, help="seconds between two kills (default 10)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the directory of the sweep, which is kept")
    options = parser.parse_args()
    began = time.monotonic()
    os.environ[MARK] = ""
    os.environ[chaos_objective.SLOWNESS] = str(options.slowness)
    changes = ["trial={}", "max_parallel=100", "resources.cpu=1"]
    jobs = SlurmJobs(
        options.nodes,
        f"--time={options.limit} --cpus-per-task=2",
        ["--grace=15", *(f"--set={change}" for change in changes)],
    )
    with chaos.folder(options.keep) as folder:
        sweep = Sweep(folder)
        chaos_run = SlurmChaos(sweep, jobs, options)
        try:
            chaos_run.run()
            resumed = resumes(sweep.root)
            facts = check(sweep, chaos_run.record)
            limit = reached_limit(sweep.root)
        finally:
            if sweep.is_running() and sweep.driver is not None:
                sweep.driver.kill()
            jobs.shutdown()
        for violation in chaos_run.record.violations:
            print(f"violation: {violation}")
        _print_table(chaos_run.record, {**facts, **resumed}, limit, options.seed, time.monotonic() - began)
    good = ("trials", "attempts that resumed")
    return 0 if all(count == 0 for name, count in {**facts, **resumed}.items() if name not in good) else 1


def _print_table(record: Record, facts: dict[str, int], limit: int, seed: int, seconds: float) -> None:
    print("\n| jobs ended by | |", "|---|---|", sep="\n")
    ends = {kind.name: record.kills[kind.name] for kind in (SCANCEL, REQUEUE, DRIVER)}
    ends["time limit"] = limit
    for name, count in [*ends.items(), *facts.items()]:
        if name == "trials":
            print("\n| found | |", "|---|---|", sep="\n")
        print(f"| {name} | {count} |")
    print(f"\nSeed {seed}, {seconds / 60:.1f} minutes.")


if __name__ == "__main__":
    sys.exit(main())
