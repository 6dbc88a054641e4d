"""Whether a machine of a cluster has the sweep's directory is found out by its workers."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import pytest
import ray

from sweep.engine.ray.location import RemoteStore, SweepLocation
from sweep.engine.transfer.messages import SentRun, StaleAttemptError
from sweep.errors import SweepError
from sweep.system.directory import SweepDirectory
from sweep.system.lock import StaleRunError, SweepLock, wait_for_fence


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The ID of this machine."""
    monkeypatch.setattr(ray, "get_runtime_context", lambda: Mock(get_node_id=lambda: "here"))
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "here", "Alive": True}])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return "here"


def join(directory: SweepDirectory, node: str, is_shared: bool | None, run_id: str = "") -> SweepDirectory:
    """The directory in which a worker runs trials, while the sweep runs."""
    with SweepLock(directory.lock, "demo") as current:
        found, fence = SweepLocation(directory, "host", node, is_shared).join(run_id or current)
        assert not wait_for_fence(found.fence, patience=0), "it holds the fence"
        os.close(fence)
        return found


@pytest.mark.parametrize("is_shared", [None, True])
def test_a_machine_that_has_the_directory_uses_it(
    directory: SweepDirectory, node: str, is_shared: bool | None
) -> None:
    assert join(directory, "elsewhere", is_shared) == directory


def test_an_old_copy_of_the_directory_is_not_used(directory: SweepDirectory, node: str) -> None:
    assert join(directory, "elsewhere", None, run_id="another") != directory


def test_a_worker_of_an_earlier_run_does_not_start_on_the_sweeps_own_machine(
    directory: SweepDirectory, node: str
) -> None:
    with pytest.raises(StaleRunError):
        join(directory, node, None, run_id="another")


def test_with_shared_false_other_machines_send_everything(directory: SweepDirectory, node: str) -> None:
    assert join(directory, "elsewhere", False) != directory
    assert join(directory, node, False) == directory


def test_a_machine_that_cannot_write_to_the_directory_sends_its_files(
    directory: SweepDirectory, node: str
) -> None:
    directory.fence.mkdir()  # as root, this test can write to everything
    with SweepLock(directory.lock, "demo") as run_id:
        found, fence = SweepLocation(directory, "host", "elsewhere", None).join(run_id)
        os.close(fence)
    assert found != directory


def test_shared_true_on_a_machine_without_the_directory_is_one_error(tmp_path: Path, node: str) -> None:
    missing = SweepDirectory(tmp_path / "missing" / "demo")
    with pytest.raises(SweepError, match=r"shared: true: .*missing/demo cannot be used on .*; leave"):
        SweepLocation(missing, "host", "elsewhere", True).join("run")


class _Receiver:
    """An actor's handle whose calls have these answers."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.close = Mock(remote=lambda run: self._answers.pop(0))


def test_a_call_to_a_receiver_that_is_being_restarted_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(answer: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr("sweep.engine.ray.location._RETRY_INTERVAL", 0.0)
    lost = ray.exceptions.ActorUnavailableError("restarting", None)
    failed = ray.exceptions.RayTaskError("close", "traceback", StaleAttemptError("over"))
    store = RemoteStore(_Receiver(lost, lost, None, failed))
    store.close(SentRun(1, "", 1))
    with pytest.raises(StaleAttemptError):
        store.close(SentRun(1, "", 1))
