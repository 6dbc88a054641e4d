"""How many CPUs this process can use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.system import cpus
from sweep.system.cpus import usable_cpus


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 16 CPUs and no limits."""
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    monkeypatch.setattr(cpus, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cpus, "_MEMBERSHIP", tmp_path / "membership")


def in_group(folder: Path, membership: str, **files: str) -> None:
    """Make this process a member of a control group. Files of groups above are given as `above_<name>`."""
    (folder / "membership").write_text(membership)
    hierarchy = folder / "cgroup" / ("cpu" if ":cpu" in membership else "")
    group = hierarchy / "jobs" / "mine"
    group.mkdir(parents=True)
    for name, text in files.items():
        place = hierarchy if name.startswith("above_") else group
        (place / name.removeprefix("above_").replace("__", ".")).write_text(text)


def test_without_limits_all_cpus_count() -> None:
    assert usable_cpus() == 16


def test_a_process_is_bound_to_some_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7, 11})
    assert usable_cpus() == 3


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only on Linux")
def test_taskset_counts() -> None:
    code = (
        "import os; from sweep.system.cpus import usable_cpus\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(usable_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", 16), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("", 16)],
)
def test_a_quota_of_version_2_counts(quota: str, count: int, tmp_path: Path) -> None:
    in_group(tmp_path, "0::/jobs/mine\n", cpu__max=quota)
    assert usable_cpus() == count


def test_a_quota_of_a_group_above_counts(tmp_path: Path) -> None:
    in_group(tmp_path, "0::/jobs/mine\n", cpu__max="max 100000", above_cpu__max="300000 100000")
    assert usable_cpus() == 3


def test_in_a_container_the_host_path_is_not_visible(tmp_path: Path) -> None:
    in_group(tmp_path, "0::/docker/0123/deeper\n", above_cpu__max="200000 100000")
    assert usable_cpus() == 2


@pytest.mark.parametrize(("quota", "count"), [("-1", 16), ("600000", 6), ("0", 16)])
def test_a_quota_of_version_1_counts(quota: str, count: int, tmp_path: Path) -> None:
    in_group(
        tmp_path,
        "12:memory:/jobs/mine\n7:cpu,cpuacct:/jobs/mine\n1:name=systemd:/init\n",
        cpu__cfs_quota_us=quota,
        cpu__cfs_period_us="100000",
    )
    assert usable_cpus() == count


def test_the_cpus_of_a_slurm_job_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert usable_cpus() == 4
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "64")
    assert usable_cpus() == 16
    for wrong in ("", "4(x2)", "0"):
        monkeypatch.setenv("SLURM_CPUS_ON_NODE", wrong)
        assert usable_cpus() in (1, 16)


def test_without_affinity_the_machine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == 1
