"""Submitting, listing and cancelling jobs, with small programs in place of Slurm's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.engine.slurm.queue import Job, SlurmError, SlurmQueue
from sweep.system.directory import SweepDirectory
from tests.engine.slurm.conftest import FakeSlurm

pytestmark = pytest.mark.process


def test_a_job_has_one_node_and_its_output_is_in_the_sweep_directory(
    fake_slurm: FakeSlurm, directory: SweepDirectory
) -> None:
    number = SlurmQueue(directory).submit("#!/bin/sh\ntrue\n", ["--partition=gpu"])
    assert number == "1"
    options = fake_slurm.options("1")
    assert options[0] == "--partition=gpu"
    assert {"--nodes=1", "--requeue", f"--output={directory.root}/slurm/%j.log"} <= set(options)
    assert (fake_slurm.folder / "1.script").read_text() == "#!/bin/sh\ntrue\n"


def test_a_percent_sign_of_a_path_is_not_a_pattern_of_slurm(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    SlurmQueue(SweepDirectory(tmp_path / "50%j")).submit("#!/bin/sh\n", [])
    assert f"--output={tmp_path}/50%%j/slurm/%j.log" in fake_slurm.options("1")


def test_sweeps_of_one_name_in_different_folders_have_different_jobs(
    fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        SlurmQueue(SweepDirectory(tmp_path / folder / "my sweep")).submit("#!/bin/sh\n", [])
    names = [
        next(o for o in fake_slurm.options(n) if o.startswith("--job-name=sweep-my_sweep-")) for n in "12"
    ]
    assert names[0] != names[1]


def test_the_list_of_jobs_is_read_past_lines_that_are_something_else(
    fake_slurm: FakeSlurm, directory: SweepDirectory
) -> None:
    fake_slurm.set("7", "PENDING", "ReqNodeNotAvail, UnavailableNodes:n[1|2]")
    fake_slurm.set("8", "COMPLETING")
    waiting, ending = SlurmQueue(directory).jobs()
    assert waiting == Job("7", "PENDING", "ReqNodeNotAvail, UnavailableNodes:n[1|2]")
    assert waiting.is_pending
    assert not waiting.is_ending
    assert ending.is_ending


@pytest.mark.parametrize(
    ("state", "is_pending", "is_ending"),
    [
        ("RUNNING", False, False),
        ("SUSPENDED", False, False),
        ("CONFIGURING", True, False),
        ("CANCELLED", False, True),
        ("TIMEOUT", False, True),
        ("NODE_FAIL", False, True),
        ("PREEMPTED", False, True),
    ],
)
def test_each_state_is_waiting_running_or_ending(state: str, is_pending: bool, is_ending: bool) -> None:
    job = Job("1", state)
    assert (job.is_pending, job.is_ending) == (is_pending, is_ending)


def test_an_error_is_the_commands_own(fake_slurm: FakeSlurm, directory: SweepDirectory) -> None:
    fake_slurm.fail("sbatch: error: invalid partition specified: gpu\nsbatch: error: submission failed")
    with pytest.raises(SlurmError, match=r"^sbatch: invalid partition specified: gpu; submission failed$"):
        SlurmQueue(directory).submit("#!/bin/sh\n", [])


def test_a_machine_without_slurm_is_said(
    directory: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        SlurmError, match=r"^squeue: command not found; start the sweep on a login node of Slurm$"
    ):
        SlurmQueue(directory).jobs()


def test_a_job_inherits_neither_a_token_nor_the_variables_of_the_job_that_submits_it(
    fake_slurm: FakeSlurm, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_slurm.folder.parent / "bin" / "sbatch"
    program.write_text("#!/bin/sh\nenv > env.txt\necho 1\n")
    monkeypatch.chdir(fake_slurm.folder)
    left_out = {
        *("RAY_AUTH_TOKEN", "RAY_ADDRESS", "SLURM_CPUS_ON_NODE", "SQUEUE_STATES", "SCANCEL_STATE"),
        *("SBATCH_ARRAY_INX", "SBATCH_CLUSTERS", "SBATCH_WAIT"),
    }
    for name in (*left_out, "SLURM_CONF", "SBATCH_PARTITION"):
        monkeypatch.setenv(name, "x")
    SlurmQueue(directory).submit("#!/bin/sh\n", [])
    given = {line.partition("=")[0] for line in (fake_slurm.folder / "env.txt").read_text().splitlines()}
    assert {"SLURM_CONF", "SBATCH_PARTITION", "PATH"} <= given
    assert not given & left_out
