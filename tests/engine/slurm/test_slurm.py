"""`sweep run --slurm` with a real Slurm, whose jobs join the sweep's Ray."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.commands import call
from tests.conftest import REPOSITORY, MakeSweep
from tests.slurm import Slurm

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("slurm")]


def test_nothing_is_lost_when_a_job_is_cancelled_and_one_is_requeued(slurm: Slurm) -> None:
    # A short form of the run in docs/slurm.md.
    command = [sys.executable, "scripts/slurm_chaos.py", "--scancels", "1", "--requeues", "1", "--pause", "2"]
    done = subprocess.run(
        [*command, "--trials", "4", "--slowness", "8", "--nodes", "0..2", "--limit", "10"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    seen = dict(re.findall(r"^\| ([a-zS ]+) \| (\d+) \|$", done.stdout, re.MULTILINE))
    assert seen.pop("trials") == "4", done.stdout + done.stderr
    assert (seen.pop("cancelled Slurm job"), seen.pop("requeued Slurm job")) == ("1", "1"), done.stdout
    seen.pop("attempts that resumed")
    assert set(seen.values()) == {"0"}, done.stdout
    assert done.returncode == 0


def test_a_job_that_slurm_refuses_is_one_error_and_nothing_is_left(
    slurm: Slurm, make_sweep: MakeSweep
) -> None:
    file = make_sweep("def train(trial):\n    return trial.params['x']\n")
    done = call("run", file, "--slurm", "--slurm-args=--partition=nope", status=2, env=slurm.environment)
    assert done.stderr.splitlines()[-1].startswith(
        "error: --slurm: sbatch: invalid partition specified: nope; "
    )
    assert not (file.parent / "runs" / "demo" / ".head").exists()
    assert slurm.jobs() == []


def test_options_that_do_not_fit_together_are_refused(make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial):\n    return trial.params['x']\n")
    for options, message in (
        (["--nodes=2"], "--nodes: is for Slurm jobs; add --slurm"),
        (["--slurm-args=--time=5"], "--slurm-args: is for Slurm jobs; add --slurm"),
        (["--slurm"], "--inline: cannot be used with --slurm"),
    ):
        assert message in call("run", file, *options, "--inline", status=2).stderr
