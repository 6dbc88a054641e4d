"""Scripts that are several processes: torchrun, and the ranks of a distributed training."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweep.script.ranks import rank_macros, rank_variables, starts_ranks
from sweep.script.report_file import ReportFile
from sweep.script.run import STARTUP
from sweep.sweepfile.command import Command
from sweep.system.ports import reserved_port
from sweep.system.ranks import Rank
from sweep.tracking.read import read_scalars
from sweep.trial.reporting import REPORTS, other_rank, report
from tests.commands import PATIENCE
from tests.script.conftest import MakeScript, output, run

SECOND = Rank(1, 2, 0, 1, 1, "10.0.0.1", 4321)


def test_ports_that_are_reserved_at_the_same_time_differ() -> None:
    with reserved_port() as first, reserved_port() as second:
        assert first != second


def test_a_server_can_listen_on_a_reserved_port_and_a_program_that_asks_for_any_does_not_get_it() -> None:
    with reserved_port() as port:
        with socket.create_server(("", port)), pytest.raises(OSError, match="in use"):
            socket.create_server(("", port))
        with socket.socket() as other:
            other.bind(("", 0))
            assert other.getsockname()[1] != port


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, 0),
        ({"RANK": "0", "WORLD_SIZE": "4"}, 0),
        ({"RANK": "3", "WORLD_SIZE": "4"}, 3),
        ({"RANK": "8"}, 0),  # of LoRA's matrices
        ({"RANK": "8", "WORLD_SIZE": "1"}, 0),
        ({"RANK": "all", "WORLD_SIZE": "4"}, 0),
    ],
)
def test_a_rank_is_that_of_a_distributed_training(variables: dict[str, str], rank: int) -> None:
    assert other_rank(variables) == rank


def test_torchrun_finds_its_trial_without_options() -> None:
    command = Command(("torchrun", "train.py"))
    assert rank_variables(command, Rank.only(4321)) == {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "4321",
        "PET_RDZV_ENDPOINT": "127.0.0.1:4321",
    }
    assert rank_variables(command, SECOND) == {
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "4321",
        "PET_RDZV_ENDPOINT": "10.0.0.1:4321",
        "PET_NNODES": "2",
        "PET_NODE_RANK": "1",
    }


@pytest.mark.parametrize("option", ["--master-port=1234", "--master_addr"])
def test_torchrun_uses_the_port_that_its_command_names(option: str) -> None:
    command = Command(("torchrun", option, "localhost", "train.py"))
    assert "PET_RDZV_ENDPOINT" not in rank_variables(command, Rank.only(4321))


def test_the_macros_of_a_rank_are_what_a_launcher_needs() -> None:
    assert rank_macros(8, SECOND) == {
        "gpus": "8",
        "workers": "2",
        "node_rank": "1",
        "master_addr": "10.0.0.1",
        "master_port": "4321",
    }


@pytest.mark.parametrize(
    ("items", "starts"),
    [
        (["torchrun", "train.py"], True),
        (["/env/bin/accelerate", "launch", "train.py"], True),
        (["${interpreter}", "-m", "torch.distributed.run", "train.py"], True),
        (["./start.sh", "--rank=${node_rank}"], True),
        (["${interpreter}", "train.py", "${args}"], False),
    ],
)
def test_a_command_that_starts_the_ranks_itself_is_recognized(items: list[str], starts: bool) -> None:
    assert starts_ranks(Command(tuple(items))) == starts


def _report_as(rank: int, file: Path, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setenv(REPORTS, str(file))
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "4")
    report(value)


def test_of_several_ranks_that_report_rank_0_counts_whichever_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = ReportFile(tmp_path / "reports", "loss")
    _report_as(3, reports.path, monkeypatch, 3.0)
    assert reports.read() == []
    _report_as(0, reports.path, monkeypatch, 0.0)
    _report_as(1, reports.path, monkeypatch, 1.0)
    assert [record.values for record in reports.read()] == [{"loss": 0.0}]
    _report_as(2, reports.path, monkeypatch, 2.0)
    assert reports.read(is_over=True) == []


@pytest.mark.parametrize("is_over", [False, True])
def test_if_only_the_last_rank_reports_its_reports_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_over: bool
) -> None:
    reports = ReportFile(tmp_path / "reports", "loss")
    _report_as(3, reports.path, monkeypatch, 3.0)
    assert reports.read() == []
    if not is_over:
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert [record.values for record in reports.read(is_over)] == [{"loss": 3.0}]
    _report_as(3, reports.path, monkeypatch, 4.0)
    assert [record.values for record in reports.read()] == [{"loss": 4.0}]


RANKS = """
import os, subprocess, sys
if "RANK" not in os.environ:
    ranks = [
        subprocess.Popen([sys.executable, __file__], env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "3"})
        for rank in (2, 1, 0)
    ]
    sys.exit(max(rank.wait() for rank in ranks))
import json
from tensorboardX import SummaryWriter
import sweep
rank = int(os.environ["RANK"])
writer = SummaryWriter()
for step in range(2):
    sweep.report(10 * rank + step)
    print(json.dumps({"printed": 10 * rank + step}))
    writer.add_scalar("written", 10 * rank + step, step)
writer.close()
print("rank", rank)
"""


@pytest.mark.process
def test_what_every_rank_reports_prints_and_writes_counts_once(make_script: MakeScript) -> None:
    result = run(make_script(RANKS, metric={"name": "loss", "goal": "minimize"}))
    curves = read_scalars(result.trials[0].directory)
    assert [curves[name] for name in ("loss", "printed", "written")] == [{0: 0.0, 1: 1.0}] * 3
    assert all(f"rank {rank}".encode() in output(result) for rank in range(3))


OF_RANK = """
import subprocess, sys
found = subprocess.check_output([sys.executable, "-c", "print(42)"])
print("rank has read", found, flush=True)
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("rank", "is_stdout"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        (
            {"RANK": "1", "WORLD_SIZE": "2", "SWEEP_RANK": "0"},
            False,
        ),  # torchrun started it, on one of several machines
        (
            {"RANK": "1", "WORLD_SIZE": "2", "SWEEP_RANK": "1"},
            True,
        ),  # nothing that this worker prints is read
    ],
)
def test_a_rank_can_read_what_its_child_processes_print(
    tmp_path: Path, rank: dict[str, str], is_stdout: bool
) -> None:
    variables = {**os.environ, "PYTHONPATH": str(STARTUP), "SWEEP_TRIAL_DIR": str(tmp_path), **rank}
    ended = subprocess.run(
        [sys.executable, "-c", OF_RANK],
        env=variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert (ended.stdout if is_stdout else ended.stderr) == "rank has read b'42\\n'\n"
