"""What arrives from other machines is written into the directory of its trial, and nowhere else."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import pytest

from sweep.engine.transfer.messages import (
    Change,
    MakeDirectory,
    MakeLink,
    Place,
    Remove,
    SentRun,
    StaleAttemptError,
    Status,
    Write,
)
from sweep.engine.transfer.receiver import Receiver
from sweep.system.directory import SweepDirectory

RUN = SentRun(3, "", 1)
NOW = Status(0o644, 10**18)


@pytest.fixture
def receiver(directory: SweepDirectory) -> Receiver:
    return Receiver(directory, [""])


def place(path: str, data: bytes, source: str = "1") -> list[Change]:
    return [Write(source, 0, data), Place(source, path, (("", len(data), NOW),))]


@pytest.mark.parametrize(
    "path", ["../journal.log", "/etc/passwd", "a/../../journal.log", "", ".", "..", "a//b", "a/", "a\0b"]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda path: Write(path, 0, b"x", NOW),
        lambda path: Write(path, 0, b"x"),
        lambda path: MakeDirectory(path),
        lambda path: MakeDirectory(path, is_staged=True),
        lambda path: MakeLink(path, "x"),
        lambda path: Place("1", path, (("", 0, NOW),)),
        lambda path: Remove(path),
    ],
)
def test_a_path_out_of_the_trials_directory_is_refused(
    receiver: Receiver, directory: SweepDirectory, path: str, change: type[Change]
) -> None:
    directory.journal.write_text("study")
    with pytest.raises(ValueError, match="is not a path below the directory"):
        receiver.apply(RUN, [Write("1", 0, b""), change(path)])
    assert directory.journal.read_text() == "study"


@pytest.mark.parametrize("target", ["/etc", "..", "../x", "a/../..", "a/../x", "./..", "../../journal.log"])
def test_a_link_out_of_the_trials_directory_is_refused(receiver: Receiver, target: str) -> None:
    with pytest.raises(ValueError, match="out of the directory"):
        receiver.apply(RUN, [MakeLink("link", target)])


@pytest.mark.parametrize("target", ["x", "../x", "..", "y/z"])
def test_a_link_within_the_trials_directory_stays_a_link(
    receiver: Receiver, directory: SweepDirectory, target: str
) -> None:
    receiver.apply(RUN, [MakeLink("a/link", target)])
    assert os.readlink(directory.trial(3).root / "a/link") == target


def test_nothing_is_written_through_a_link_that_is_already_there(
    receiver: Receiver, directory: SweepDirectory, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    root = directory.trial(3).root
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "file")
    assert receiver.apply(RUN, [Write("file", 4, b"more", NOW)]) == {"file"}, "send it again, completely"
    receiver.apply(RUN, [*place("folder/file", b"a"), *place("file", b"b"), Remove("folder/other")])
    assert (outside / "file").read_text() == "mine"
    assert (root / "folder/file").read_bytes() == b"a"
    assert not (root / "folder").is_symlink()
    assert (root / "file").read_bytes() == b"b"


def test_only_runs_of_the_sweep_are_accepted(receiver: Receiver) -> None:
    for run in (SentRun(3, "seed-0", 1), SentRun(3, "../..", 1), SentRun(-1, "", 1)):
        with pytest.raises(ValueError, match="is not a run of this sweep"):
            receiver.open(run)


def test_an_attempt_that_is_over_changes_nothing_any_more(
    receiver: Receiver, directory: SweepDirectory
) -> None:
    receiver.open(RUN)
    receiver.apply(RUN, place("a", b"1"))
    receiver.open(SentRun(3, "", 2))
    with pytest.raises(StaleAttemptError):
        receiver.apply(RUN, place("a", b"2"))
    receiver.close(SentRun(3, "", 2))
    receiver.close(SentRun(3, "", 2))
    with pytest.raises(StaleAttemptError):
        receiver.apply(SentRun(3, "", 2), [Remove("a")])
    assert (directory.trial(3).root / "a").read_bytes() == b"1"


def test_what_the_controller_has_added_to_a_file_is_never_cut_off(
    receiver: Receiver, directory: SweepDirectory
) -> None:
    receiver.apply(RUN, place("events", b"12"))
    with (directory.trial(3).root / "events").open("ab") as file:
        file.write(b"end of the row")
    assert receiver.apply(RUN, [Write("events", 2, b"34", NOW)]) == {"events"}
    assert (directory.trial(3).root / "events").read_bytes() == b"12end of the row"


def test_a_part_that_is_sent_twice_is_written_once(receiver: Receiver, directory: SweepDirectory) -> None:
    receiver.apply(RUN, place("log", b"12"))
    for _ in range(2):
        assert receiver.apply(RUN, [Write("log", 2, b"34", NOW)]) == frozenset()
    assert (directory.trial(3).root / "log").read_bytes() == b"1234"


def test_a_checkpoint_of_which_a_part_is_missing_does_not_appear(
    receiver: Receiver, directory: SweepDirectory
) -> None:
    changes = [MakeDirectory("1", is_staged=True), Write("1/model", 0, b"half")]
    placed = Place("1", "checkpoint/0000-step-1", (("model", 8, NOW),), is_durable=True)
    assert receiver.apply(RUN, [*changes, placed]) == {"checkpoint/0000-step-1"}
    assert not directory.trial(3).checkpoints.exists()
    whole = [*changes, Write("1/model", 4, b"half"), placed]
    assert receiver.apply(RUN, whole) == frozenset()
    assert (directory.trial(3).checkpoints / "0000-step-1/model").read_bytes() == b"halfhalf"
    assert receiver.apply(RUN, [placed]) == frozenset(), "the answer to the first call was lost"


@pytest.mark.parametrize("is_durable", [False, True])
def test_an_empty_directory_that_is_placed_twice_is_sent_again_and_stays_meanwhile(
    receiver: Receiver, directory: SweepDirectory, is_durable: bool
) -> None:
    changes = [MakeDirectory("1", is_staged=True), Place("1", "empty", (), is_durable=is_durable)]
    assert receiver.apply(RUN, changes) == frozenset()
    assert receiver.apply(RUN, changes[1:]) == {"empty"}
    assert os.listdir(directory.trial(3).root) == ["empty"]


def test_a_file_whose_name_is_as_long_as_possible_arrives(
    receiver: Receiver, directory: SweepDirectory
) -> None:
    name = "x" * 255
    for data in (b"1", b"new"):
        assert receiver.apply(RUN, place(name, data)) == frozenset()
        assert (directory.trial(3).root / name).read_bytes() == data


def test_what_is_staged_is_gone_when_the_attempt_is_over(
    receiver: Receiver, directory: SweepDirectory
) -> None:
    receiver.apply(RUN, [Write("1", 0, b"half")])
    assert any(directory.arriving.rglob("1"))
    receiver.close(RUN)
    assert not any(directory.arriving.rglob("1"))


def test_a_program_that_follows_a_file_that_has_changed_still_follows_it(
    receiver: Receiver, directory: SweepDirectory
) -> None:
    receiver.apply(RUN, place("events", b"12"))
    with (directory.trial(3).root / "events").open("rb") as reader:
        change = Place("2", "events", (("", 4, NOW),), keeps_file=True)
        receiver.apply(RUN, [Write("2", 0, b"1x34"), change])
        assert reader.read() == b"1x34"


def test_a_read_only_file_that_changes_again_is_replaced(
    receiver: Receiver, directory: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def open_as_user(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        """As for a user who is not root."""
        with suppress(FileNotFoundError):
            is_read_only = not os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode & 0o200
            if is_read_only and flags & (os.O_WRONLY | os.O_RDWR):
                raise PermissionError(errno.EACCES, "read-only", path)
        return opened(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_as_user)
    path = directory.trial(3).root / "weights"
    receiver.apply(RUN, [Write("weights", 0, b"1", Status(0o444, 10**18))])
    receiver.apply(RUN, [Write("weights", 1, b"2", Status(0o444, 10**18))])
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"12", 0o444)
    receiver.apply(RUN, [*place("weights", b"new", source="2")])
    assert path.read_bytes() == b"new"


def test_the_output_of_other_ranks_is_not_given_to_a_machine_that_would_send_it_back(
    receiver: Receiver, directory: SweepDirectory
) -> None:
    trial = directory.trial(RUN.number)
    trial.root.mkdir()
    for output in (trial.output_of(0), trial.output_of(1), trial.output_of(12)):
        output.write_text("printed")
    assert list(receiver.open(RUN)) == ["output.log"]
