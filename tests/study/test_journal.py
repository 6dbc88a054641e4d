"""The journal has the format of Optuna's own, with batched writes."""

from __future__ import annotations

import resource
import signal
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from sweep.study.journal import Journal

X = {"x": optuna.distributions.FloatDistribution(0, 1)}


def make_study(journal: Journal) -> optuna.Study:
    return optuna.create_study(storage=JournalStorage(journal), study_name="s", load_if_exists=True)


def read(path: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))


def facts(study: optuna.Study) -> list[tuple[object, ...]]:
    return [
        (t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs) for t in study.trials
    ]


def test_optuna_reads_what_a_batch_wrote(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.log")
    study = make_study(journal)
    for number in range(3):
        with journal.batch():
            trial = study.ask(X)
            trial.report(0.5, 0)
        with journal.batch():
            trial.report(0.25, 1)
            trial.set_user_attr("note", number)
            study.tell(trial, trial.params["x"])
    assert len(study.trials) == 3
    assert facts(read(tmp_path / "journal.log")) == facts(study)


def test_a_batch_is_written_at_its_end_even_after_an_exception(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.log"
    journal = Journal(path)
    study = make_study(journal)
    trial = study.ask(X)
    before = path.read_bytes()

    def fail_in_a_batch() -> None:
        with journal.batch():
            trial.report(0.5, 0)
            study.tell(trial, 1.0)
            assert path.read_bytes() == before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_a_batch()
    assert facts(read(path)) == facts(study)
    assert read(path).trials[0].value == 1.0


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(["ask", "enqueue", "report", "tell", "end", "they ask", "they enqueue", "note"])
    ),
)
def test_another_process_can_write_during_a_batch(
    tmp_path_factory: pytest.TempPathFactory, turns: list[str]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    journal = Journal(path)
    ours = make_study(journal)
    theirs = read(path)
    live: list[optuna.Trial] = []
    batch = journal.batch()
    batch.__enter__()
    for index, turn in enumerate(turns):
        if turn == "ask":
            live.append(ours.ask(X))
        elif turn == "enqueue":
            ours.enqueue_trial({"x": index / 100}, user_attrs={"by": "us"})
        elif turn == "report" and live:
            live[-1].report(float(index), index)
        elif turn == "tell" and live:
            ours.tell(live.pop(0), float(index))
        elif turn == "end":
            batch.__exit__(None, None, None)
            batch = journal.batch()
            batch.__enter__()
        elif turn == "they ask":
            theirs.tell(theirs.ask(X), -1.0)
        elif turn == "they enqueue":
            theirs.enqueue_trial({"x": index / 100}, user_attrs={"by": "them"})
        elif turn == "note":
            theirs.set_user_attr("note", index)
    batch.__exit__(None, None, None)
    assert facts(ours) == facts(theirs) == facts(read(path))
    assert [trial.number for trial in ours.trials] == list(range(len(ours.trials)))
    assert ours.user_attrs == read(path).user_attrs
    assert all(trial.params == ours.trials[trial.number].params for trial in live)


def test_the_number_of_a_trial_is_certain_while_its_batch_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    journal = Journal(path)
    ours = make_study(journal)
    theirs = read(path)
    with journal.batch():
        trial = ours.ask()
        theirs.enqueue_trial({"x": 0.5})
        trial.suggest_float("x", 0, 1)
        assert read(path).trials[0].params == {}
        following = ours.ask()
    assert (trial.number, following.number) == (0, 1)
    assert following.suggest_float("x", 0, 1) == 0.5
    assert [trial.params for trial in read(path).trials] == [trial.params, {"x": 0.5}]


def test_a_lock_that_was_taken_from_a_suspended_process_does_not_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    journal = Journal(path)
    study = make_study(journal)
    trial = study.ask(X)
    acquire = journal._lock.acquire

    def acquire_and_lose() -> bool:
        acquire()
        path.with_name("journal.log.lock").unlink()
        read(path).set_user_attr("note", 1)
        return True

    journal._lock.acquire = acquire_and_lose  # type: ignore[method-assign]
    study.tell(trial, 1.0)
    assert study.user_attrs == {"note": 1}
    assert facts(read(path)) == facts(study)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["batch", "single", "other"]), min_size=1, max_size=12))
def test_another_process_can_write_between_batches(
    tmp_path_factory: pytest.TempPathFactory, turns: list[str]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    journal = Journal(path)
    ours = make_study(journal)
    theirs = read(path)
    for turn in turns:
        if turn == "batch":
            with journal.batch():
                ours.tell(ours.ask(X), 1.0)
        elif turn == "single":
            ours.tell(ours.ask(X), 2.0)
        else:
            theirs.tell(theirs.ask(X), 3.0)
    assert len(ours.trials) == len(turns)
    assert facts(ours) == facts(theirs) == facts(read(path))


def test_an_incomplete_last_line_is_moved_to_another_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = make_study(Journal(path))
    study.tell(study.ask(X), 1.0)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"worker')
    again = make_study(Journal(path))
    again.tell(again.ask(X), 2.0)
    assert path.read_bytes().startswith(whole + b"{")
    assert [trial.value for trial in read(path).trials] == [1.0, 2.0]
    assert (tmp_path / "journal.log.torn").read_text() == '{"op_code":4,"worker\n'


def test_half_a_line_that_another_program_leaves_while_the_study_runs_is_moved_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    journal = Journal(path)
    study = make_study(journal)
    first = study.ask(X)
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    with journal.batch():
        study.tell(first, 1.0)
        second = study.ask(X)
    study.tell(second, 2.0)
    assert second.number == 1
    assert [trial.value for trial in read(path).trials] == [1.0, 2.0]
    assert [trial.value for trial in study.trials] == [1.0, 2.0]
    assert (tmp_path / "journal.log.torn").read_text() == '{"op_code":4,"worker\n'


def test_half_a_line_that_cannot_be_moved_stops_all_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.log"
    study = make_study(Journal(path))
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    with monkeypatch.context() as patch:
        patch.setattr("sweep.study.journal._repair", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            study.set_user_attr("lost", 1)
    with pytest.raises(OSError, match="an earlier write failed"):
        study.set_user_attr("kept", 1)


def test_a_failed_write_leaves_the_file_unchanged_and_later_writes_fail(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = make_study(Journal(path))
    trial = study.ask(X)
    before = path.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            trial.report(0.5, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="an earlier write failed"):
        study.tell(trial, 1.0)
    assert path.read_bytes() == before
    again = make_study(Journal(path))
    again.tell(0, 2.0)
    assert read(path).best_value == 2.0


def test_an_outcome_goes_to_the_disk_while_the_next_trial_is_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.log")
    study = make_study(journal)
    trial = study.ask(X)
    begun, sampled, synced = threading.Event(), threading.Event(), []

    def sync(descriptor: int) -> None:
        begun.set()
        assert sampled.wait(30)
        synced.append((tmp_path / "journal.log").read_text())

    monkeypatch.setattr("os.fsync", sync)
    with journal.batch():
        study.tell(trial, 0.125)
        following = study.ask()
        assert begun.wait(30)
        following.suggest_float("x", 0, 1)
        sampled.set()
    assert len(synced) == 1
    assert "0.125" in synced[0]


def test_an_outcome_that_follows_a_new_trial_in_a_batch_is_on_the_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.log"
    journal = Journal(path)
    study = make_study(journal)
    first, second = study.ask(X), study.ask(X)
    synced: list[str] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(path.read_text()))
    with journal.batch():
        study.tell(first, 0.125)
        study.ask()
        study.tell(second, 0.25)
    assert synced[-1] == path.read_text()


def test_a_disk_that_fails_while_the_next_trial_is_sampled_stops_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.log")
    study = make_study(journal)
    trial = study.ask(X)

    def take_turn() -> None:
        with journal.batch():
            study.tell(trial, 0.125)
            study.ask()

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", Mock(side_effect=OSError(5, "Input/output error")))
        with pytest.raises(OSError, match="Input/output error"):
            take_turn()
    with pytest.raises(OSError, match="an earlier write failed"):
        study.ask()


def test_a_lock_left_by_a_killed_process_is_released(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    make_study(Journal(path))
    path.with_name("journal.log.lock").symlink_to(path)
    study = make_study(Journal(path))
    study.tell(study.ask(X), 1.0)
    assert len(read(path).trials) == 1


def test_the_lock_of_a_tool_that_is_writing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.study.journal._GRACE_PERIOD", 60)
    path = tmp_path / "journal.log"
    make_study(Journal(path))
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    releases = threading.Timer(0.3, lock.release)  # raises an exception if another process has removed it
    begin = time.monotonic()
    releases.start()
    Journal(path)
    assert time.monotonic() - begin >= 0.25
    releases.join()
    assert not path.with_name("journal.log.lock").is_symlink()


@pytest.fixture(scope="module")
def long_journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    journal = Journal(path)
    study = make_study(journal)
    for number in range(12):
        with journal.batch():
            trial = study.ask(X)
            trial.report(0.5, 0)
            trial.set_user_attr("note", "äöü" * number)
        study.tell(trial, float(number))
    content = path.read_bytes()
    assert len(content) > 2048
    return content


def test_a_journal_cut_at_any_byte_opens_with_every_complete_line(
    long_journal: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "journal.log"
    torn = tmp_path / "journal.log.torn"
    for cut in range(len(long_journal) - 2048, len(long_journal)):
        path.write_bytes(long_journal[:cut])
        torn.unlink(missing_ok=True)
        Journal(path)
        is_whole = long_journal[cut : cut + 1] == b"\n" or long_journal[cut - 1 : cut] == b"\n"
        lines = long_journal[:cut].splitlines(keepends=True)
        if not is_whole:
            assert torn.read_bytes() == lines.pop() + b"\n"
        else:
            assert not torn.exists()
        assert path.read_bytes().splitlines() == [line.rstrip(b"\n") for line in lines]


@settings(max_examples=40)
@given(cut=st.integers(1, 2048), rubbish=st.sampled_from([b"", b"\0" * 700, b"\0\n\0\0", b"\xff{\n"]))
def test_a_study_whose_journal_has_a_corrupt_end_can_be_resumed(
    long_journal: bytes, tmp_path_factory: pytest.TempPathFactory, cut: int, rubbish: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    path.write_bytes(long_journal[:-cut] + rubbish)
    study = make_study(Journal(path))
    known = facts(study)
    finished = [trial for trial in study.trials if trial.state.is_finished()]
    assert [trial.value for trial in finished] == [float(number) for number in range(len(finished))]
    study.tell(study.ask(X), 99.0)
    assert facts(read(path))[: len(known)] == known
    assert read(path).trials[-1].value == 99.0
