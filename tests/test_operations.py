"""Requests to a sweep from another process: stop, retry, enqueue. What their sender says is what happens."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import sweep
from sweep import operations
from sweep.analysis.view import SweepView
from sweep.cli.retry import retry
from sweep.controller.controller import Controller
from sweep.controller.requests import Request, RequestInbox, write_request
from sweep.errors import InputError, OperationInterrupted, SweepError
from sweep.system.directory import SweepDirectory
from sweep.system.lock import SweepLock, current_session, renew_run_id
from tests.conftest import MakeSweep

CODE = """
def train(trial):
    if trial.number == 0:
        raise RuntimeError
    return trial.params["x"]
"""


@pytest.fixture
def file(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of three trials, of which the first has failed."""
    monkeypatch.setattr(operations, "_TIMEOUT", 0.4)
    file = make_sweep(CODE)
    sweep.run(file, n_trials=3, inline=True)
    return file


def directory() -> SweepDirectory:
    return SweepDirectory.of(Path("runs"), "demo")


def view() -> SweepView:
    return SweepView(directory())


def files() -> list[Path]:
    return list(directory().requests.glob("*"))


def lock() -> SweepLock:
    """While it is held, a process seems to run the sweep: one that does not take requests."""
    return SweepLock(directory().lock, "demo")


@contextmanager
def once_sent(*actions: Callable[[], object]) -> Iterator[None]:
    """Do something in another thread when the block has sent a request and waits."""

    def act() -> None:
        while not any(path.suffix == ".json" for path in files()):
            time.sleep(0.02)
        for action in actions:
            time.sleep(0.1)
            action()

    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


def configurations() -> list[float]:
    return [trial.params["x"] for trial in view().rows() if "x" in trial.params]


def test_a_request_that_a_sweep_does_not_take_in_time_is_queued_and_carried_out_once(file: Path) -> None:
    with lock():
        for _ in range(3):  # typed again
            assert operations.enqueue(view(), {"x": 0.25}) == (None, True)
    assert len(files()) == 1
    sweep.run(file, n_trials=6, inline=True)
    assert configurations().index(0.25) == 3
    assert configurations().count(0.25) == 1
    assert not files()


def test_the_command_says_that_its_request_is_queued(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock():
        retry("demo", failed=True, runs=Path("runs"))
    assert capsys.readouterr().out.startswith("queued: the running sweep has not answered yet")
    retry("demo", failed=True, runs=Path("runs"))
    said = capsys.readouterr().out
    assert said.startswith("trial 0 runs again as trial 3, when the sweep resumes\nresume with: ")


def test_a_queued_retry_runs_when_a_killed_sweep_is_resumed_although_its_trials_are_complete(
    file: Path,
) -> None:
    with lock():
        assert operations.resubmit(view(), [0]) == ({}, True)
        assert operations.resubmit(view(), [0]) == ({}, True)
    assert len(files()) == 1
    sweep.run(file, n_trials=3, inline=True)
    assert [row.retry_of for row in view().rows()] == [None, None, None, 0]
    assert view().state == "finished"


def test_a_request_to_a_sweep_that_is_not_running_is_carried_out_with_those_that_were_left(
    file: Path,
) -> None:
    write_request(directory().requests, Request(enqueue=({"x": 0.125},)))
    RequestInbox(directory().requests, "a session that died").take()
    write_request(directory().requests, Request("a session that died", stop=True))
    assert operations.enqueue(view(), {"x": 0.25}) == (4, False)
    assert operations.enqueue(view(), {"x": 0.25}) == (5, False)  # the first one has been carried out
    assert configurations()[3:] == [0.125, 0.25, 0.25]
    assert not files()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sender_that_is_interrupted_withdraws_its_request(file: Path, number: int) -> None:
    senders: list[Callable[[], object]] = [
        lambda: operations.enqueue(view(), {"x": 0.25}),
        lambda: operations.resubmit(view(), [0]),
        lambda: operations.stop(view(), on_sent=lambda: None),
    ]
    with lock():
        for send in senders:
            with pytest.MonkeyPatch.context() as patch, once_sent(lambda: os.kill(os.getpid(), number)):
                patch.setattr(operations, "_TIMEOUT", 60.0)
                with pytest.raises(OperationInterrupted, match="the request is withdrawn") as caught:
                    send()
            assert caught.value.exit_status == 128 + number
            assert not files()


def test_a_sender_that_is_interrupted_too_late_says_that_the_request_is_carried_out(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_TIMEOUT", 60.0)
    inbox = RequestInbox(directory().requests, "s")
    interrupt = partial(os.kill, os.getpid(), signal.SIGINT)
    with (
        lock(),
        once_sent(inbox.take, interrupt),
        pytest.raises(OperationInterrupted, match="the request will be carried out"),
    ):
        operations.enqueue(view(), {"x": 0.25})
    sweep.run(file, n_trials=4, inline=True)
    assert configurations()[3:] == [0.25]


@pytest.mark.parametrize("storage", [None, "sqlite:///study.db"])
def test_nothing_is_enqueued_in_a_new_study_if_that_of_the_trials_is_missing(
    make_sweep: MakeSweep, storage: str | None
) -> None:
    sweep.run(make_sweep(CODE, storage=storage), n_trials=3, inline=True)
    before, study = view(), Path("study.db") if storage else directory().journal
    assert len(before.frozen_trials) == 3
    study.rename("elsewhere")
    directory().snapshot.unlink(missing_ok=True)
    senders: list[Callable[[], object]] = [
        lambda: operations.enqueue(view(), {"x": 0.25}),
        lambda: operations.resubmit(view(), [0]),
    ]
    for send in senders:
        with pytest.raises(InputError, match="contains trials, but their study is missing from"):
            send()
    assert not study.exists()
    assert not files()
    Path("elsewhere").rename(study)
    operations.enqueue(view(), {"x": 0.25})
    assert len(view().frozen_trials) == 4


def test_a_configuration_is_enqueued_in_the_database_of_the_sweep_from_any_folder(
    make_sweep: MakeSweep, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.run(make_sweep(CODE, storage="sqlite:///study.db"), n_trials=3, inline=True)
    monkeypatch.chdir(project.parent)
    place = SweepDirectory.of(project / "runs", "demo")
    number, _ = operations.enqueue(SweepView(place), {"x": 0.25})
    assert number == 3
    assert not Path("study.db").exists()
    monkeypatch.chdir(project)
    assert len(view().frozen_trials) == 4


def test_a_sweep_is_not_stopped_while_another_run_of_it_follows_in_the_same_process(file: Path) -> None:
    held = lock()
    held.__enter__()
    session = current_session(directory().lock)
    assert session is not None
    seen: list[bool] = []

    def restart_ray() -> None:
        renew_run_id(directory().lock)
        assert current_session(directory().lock) == session

    def take() -> None:
        seen.append(stopping.is_alive())
        for sent in RequestInbox(directory().requests, session).take():
            assert sent.request.stop
            sent.complete()
            held.__exit__(None, None, None)

    results: list[bool] = []
    stopping = threading.Thread(target=lambda: results.append(operations.stop(view(), lambda: None)))
    stopping.start()
    with once_sent(restart_ray, restart_ray, take):
        stopping.join(60)
    assert seen == [True]
    assert results == [True]
    assert not files()


def test_a_sweep_that_terminates_before_it_takes_the_request_was_not_stopped(file: Path) -> None:
    held = lock()
    held.__enter__()
    with once_sent(lambda: held.__exit__(None, None, None)):
        assert operations.stop(view(), on_sent=lambda: None) is False
    assert not files()


def test_a_trial_that_cannot_be_stopped_in_time_is_not_stopped_later(file: Path) -> None:
    spec = view().spec
    more = spec.model_copy(update={"stop": spec.stop.model_copy(update={"trials": 9})})
    with lock():
        assert Controller(more, directory(), slots=1).next_step(None).assignment is not None
        with pytest.raises(SweepError, match="trial 3 is not stopped, and the request is withdrawn"):
            operations.stop_trial(view(), 3)
        assert not files()
        inbox = RequestInbox(directory().requests, current_session(directory().lock) or "")
        with once_sent(lambda: [sent.complete() for sent in inbox.take()]):
            assert operations.stop_trial(view(), 3) == "RUNNING"


def test_a_request_to_stop_a_trial_says_that_the_sweep_has_ended_meanwhile(file: Path) -> None:
    spec = view().spec
    more = spec.model_copy(update={"stop": spec.stop.model_copy(update={"trials": 9})})
    held = lock()
    held.__enter__()
    assert Controller(more, directory(), slots=1).next_step(None).assignment is not None
    with (
        pytest.raises(SweepError, match="the request is withdrawn: the sweep has ended"),
        once_sent(lambda: held.__exit__(None, None, None)),
    ):
        operations.stop_trial(view(), 3)


def test_a_request_that_arrives_during_the_last_trial_is_carried_out(make_sweep: MakeSweep) -> None:
    code = """
    from pathlib import Path
    from sweep.controller.requests import Request, write_request

    def train(trial):
        if trial.number == 0:
            raise RuntimeError
        if trial.number == 5:
            write_request(Path("runs/demo/.requests"), Request(resubmit=(0,)))
        return trial.params["x"]
    """
    result = sweep.run(make_sweep(code), inline=True)
    assert len(result.trials) == 7
    assert not files()
