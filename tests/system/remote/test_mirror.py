"""`--runs URL`: a sweep is copied to an object store while it runs, and resumed from there elsewhere."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import sweep
from sweep.errors import InputError, SweepError
from sweep.system.remote import mirror as mirroring
from sweep.system.remote.contents import MANIFEST, Record, is_copied, local_files, unit
from sweep.system.remote.fetch import fetch
from sweep.system.remote.mirror import Mirror, mirrored
from sweep.system.remote.store import remote_runs, runs_path
from tests.commands import PATIENCE, call_here
from tests.conftest import MakeSweep

CODE = """
import pathlib

def train(trial):
    found = trial.checkpoint.latest()
    first = 0 if found is None else found.step + 1
    pathlib.Path(trial.directory, "started.txt").open("a").write(f"{first} ")
    for step in range(first, 3):
        trial.report(trial.params.x + step, step)
        with trial.checkpoint.save(step) as path:
            (path / "state").write_text(str(step))
        if pathlib.Path("stop").exists() and trial.number == 2 and step == 1:
            raise KeyboardInterrupt
    return trial.params.x
"""


class Machines:
    """Machines with caches of their own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def use(self, name: str) -> None:
        self._monkeypatch.setenv("XDG_CACHE_HOME", str(self._folder / name))
        self._monkeypatch.setattr(mirroring, "_machine", lambda: name)


@pytest.fixture
def machines(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Machines:
    monkeypatch.setattr(mirroring, "_WATCH", 1.5)
    monkeypatch.setattr(mirroring, "_INTERVAL", 0.3)
    machines = Machines(tmp_path_factory.mktemp("machines"), monkeypatch)
    machines.use("first")
    return machines


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def files(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in local_files(root)}


def test_the_copy_is_whole_after_the_sweep(make_sweep: MakeSweep, store: Path, machines: Machines) -> None:
    url = f"file://{store}/runs"
    result = sweep.run(make_sweep(CODE), inline=True, runs=url)
    here, there = runs_path(url) / "demo", store / "runs/demo"
    assert result.trials[0].directory == here / "trial-0000"
    assert files(here) == files(there)
    assert "journal.log" in files(there)
    assert "trial-0000/checkpoint/0002-step-2/state" in files(there)
    assert not (there / ".runner").exists(), "the lock is released"
    assert not {".lock", ".fence", ".snapshot"} & {path.name for path in there.iterdir()}


def test_another_machine_resumes_the_sweep_from_its_checkpoints(
    make_sweep: MakeSweep, project: Path, store: Path, machines: Machines
) -> None:
    url, file = f"file://{store}/runs", make_sweep(CODE)
    (project / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        sweep.run(file, inline=True, runs=url)
    (project / "stop").unlink()
    machines.use("second")
    result = sweep.run(file, inline=True, runs=url)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 6
    assert (runs_path(url) / "demo/trial-0002/started.txt").read_text() == "0 2 "
    assert files(runs_path(url) / "demo") == files(store / "runs/demo")
    machines.use("first")  # whose copy is now the older one
    result = sweep.run(file, inline=True, runs=url, n_trials=8)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 8
    assert files(runs_path(url) / "demo") == files(store / "runs/demo")


def test_commands_that_read_fetch_the_copy(make_sweep: MakeSweep, store: Path, machines: Machines) -> None:
    url = f"file://{store}/runs"
    sweep.run(make_sweep(CODE), inline=True, runs=url)
    machines.use("reader")
    assert json.loads(call_here("ls", "--json", "--runs", url).stdout)["sweeps"][0]["state"] == "finished"
    assert len(json.loads(call_here("trials", "demo", "--json", "--runs", url).stdout)) == 6
    assert call_here("status", "demo", "--runs", url).stdout
    assert call_here("best", "demo", "--runs", url).stdout
    here = runs_path(url) / "demo"
    assert (here / "trial-0000").is_dir()
    assert not (here / "trial-0000/checkpoint").exists(), "nobody has asked for it"
    before = {path: path.stat().st_mtime_ns for path in (store / "runs").rglob("*")}
    call_here("report", "demo", "--runs", url, "-o", here.parent / "report.html")
    assert {path: path.stat().st_mtime_ns for path in (store / "runs").rglob("*")} == before
    assert len(sweep.load("demo", runs=url).trials) == 6


def test_requests_to_a_copy_are_refused(make_sweep: MakeSweep, store: Path, machines: Machines) -> None:
    url = f"file://{store}/runs"
    sweep.run(make_sweep("def train(trial):\n    return 1 / 0\n"), inline=True, runs=url)
    machines.use("reader")
    for command in (("retry", "demo", "0"), ("enqueue", "demo", "x=0.5"), ("stop", "demo")):
        done = call_here(*command, "--runs", url, status=2)
        assert "is a copy of file://" in done.stderr
        assert "resume it first" in done.stderr


def test_a_sweep_that_another_machine_runs_is_refused(
    make_sweep: MakeSweep, store: Path, machines: Machines
) -> None:
    url, notes = f"file://{store}/runs", list[str]()
    runs = runs_path(url)
    with mirrored(runs, "demo", False, notes.append):
        machines.use("second")
        with pytest.raises(InputError, match=r"demo: is already being run on .* by process \d+; watch"):
            sweep.run(make_sweep(CODE), inline=True, runs=url)
    assert not (store / "runs/demo/.runner").exists()


def test_the_lock_of_a_killed_machine_is_taken_over(
    make_sweep: MakeSweep, store: Path, machines: Machines
) -> None:
    url = f"file://{store}/runs"
    remote = remote_runs(runs_path(url))
    assert remote is not None
    Mirror(remote, runs_path(url) / "demo", print).claim()
    machines.use("second")
    assert len(sweep.run(make_sweep(CODE), inline=True, runs=url).trials) == 6


def test_a_machine_that_has_lost_its_lock_copies_nothing_and_stops(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, notes = f"file://{store}/runs", list[str]()
    signals: list[int] = []
    monkeypatch.setattr("os.kill", lambda process, number: signals.append(number))
    runs = runs_path(url)
    remote = remote_runs(runs)
    assert remote is not None
    with mirrored(runs, "demo", False, notes.append):
        remote.write_json({"id": "another"}, "demo", ".runner")
        (runs / "demo").mkdir()
        (runs / "demo/sweep.yaml").write_text("late")
        end = time.monotonic() + PATIENCE
        while not signals and time.monotonic() < end:
            time.sleep(0.05)
    assert signals == [2]
    assert not (store / "runs/demo/sweep.yaml").exists()
    assert (store / "runs/demo/.runner").exists(), "it is the other machine's"


class Store:
    """A folder whose copy is written in the test, step by step."""

    def __init__(self, store: Path, machines: Machines) -> None:
        self.url = f"file://{store}/runs"
        self.runs = runs_path(self.url)
        self.root = self.runs / "demo"
        self.root.mkdir()
        self.there = store / "runs/demo"
        remote = remote_runs(self.runs)
        assert remote is not None
        self.mirror = Mirror(remote, self.root, print)
        self.mirror.claim()
        self.mirror._record.write(self.root)
        self._machines = machines
        self.write("sweep.yaml", "1")
        self.write("journal.log", "1\n")

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def fetched(self, machine: str) -> dict[str, bytes]:
        """What another machine gets."""
        self._machines.use(machine)
        root = runs_path(self.url) / "demo"
        remote = remote_runs(root.parent)
        assert remote is not None
        fetch(remote, root)
        return files(root)


def test_a_round_that_was_interrupted_leaves_the_copy_of_the_round_before(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    copy.write("trial-0000/checkpoint/0001-step-1/state", "1")
    copy.mirror._copy()
    shutil.rmtree(copy.root / "trial-0000/checkpoint/0001-step-1")
    copy.write("trial-0000/checkpoint/0002-step-2/state", "2")
    copy.write("trial-0001/output.log", "new")
    copy.write("journal.log", "1\n2\n")
    with monkeypatch.context() as patch:

        def die(data: Any, *parts: str) -> None:
            if parts[-1] == ".mirror":
                raise SweepError("died")

        patch.setattr(type(copy.mirror._remote), "write_json", lambda remote, data, *parts: die(data, *parts))
        with pytest.raises(SweepError, match="died"):
            copy.mirror._copy()
    assert (copy.there / "trial-0001/output.log").exists()
    found = copy.fetched("second")
    assert found["trial-0000/checkpoint/0001-step-1/state"] == b"1"
    assert not any("0002-step-2" in name or "trial-0001" in name for name in found)
    assert found["journal.log"] == b"1\n2\n", "it only grows"
    copy.mirror._copy()
    found = copy.fetched("third")
    assert [name for name in found if "checkpoint" in name] == ["trial-0000/checkpoint/0002-step-2/state"]
    assert not (copy.there / "trial-0000/checkpoint/0001-step-1/state").exists()


def test_the_journal_is_copied_before_what_belongs_to_its_trials(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    copy.write("trial-0000/output.log", "a")
    order: list[str] = []
    put = type(copy.mirror._remote.files).put_file
    monkeypatch.setattr(
        type(copy.mirror._remote.files),
        "put_file",
        lambda self, source, target, **options: (order.append(Path(source).name), put(self, source, target)),
    )
    copy.mirror._copy()
    assert order[0] == "journal.log"
    assert order[-1] != "journal.log"


def test_nothing_is_copied_that_a_large_journal_is_too_late_for(store: Path, machines: Machines) -> None:
    copy = Store(store, machines)
    copy.mirror._copy()
    copy.mirror._due["journal.log"] = time.monotonic() + 60
    copy.write("journal.log", "1\n2\n")
    copy.write("trial-0001/checkpoint/0001-step-1/state", "of trial 1")
    copy.mirror._copy()
    assert not any("trial-0001" in name for name in copy.fetched("second"))
    machines.use("first")
    copy.mirror._due.clear()
    copy.mirror._copy()
    found = copy.fetched("third")
    assert found["journal.log"] == b"1\n2\n"
    assert any("trial-0001" in name for name in found)


def test_a_trial_that_starts_while_the_files_are_listed_waits_for_its_journal(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    copy.mirror._copy()

    def list_slowly(root: Path) -> dict[str, tuple[int, int]]:
        before = local_files(root)
        copy.write("journal.log", "1\n2\n")
        copy.write("trial-0001/output.log", "new")
        return {**local_files(root), "journal.log": before["journal.log"]}

    monkeypatch.setattr(mirroring, "local_files", list_slowly)
    copy.mirror._copy()
    found = copy.fetched("second")
    assert (found["journal.log"], found["trial-0001/output.log"]) == (b"1\n2\n", b"new")


def test_what_is_fetched_replaces_a_link(store: Path, machines: Machines) -> None:
    copy = Store(store, machines)
    copy.write("trial-0000/log-1", "a\n")
    (copy.root / "trial-0000/latest").symlink_to("log-1")
    copy.mirror._copy()
    root = runs_path(copy.url) / "demo"
    copy.fetched("second")
    link = runs_path(copy.url) / "demo/trial-0000/latest"
    link.unlink()
    link.symlink_to("log-1")
    (copy.there / "trial-0000/latest").write_text("a\nb\n")
    remote = remote_runs(root.parent)
    assert remote is not None
    machines.use("second")
    fetch(remote, runs_path(copy.url) / "demo")
    assert (link.read_text(), link.with_name("log-1").read_text()) == ("a\nb\n", "a\n")


def test_the_lock_is_renewed_while_a_large_file_is_copied(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    renewed = []

    def put_slowly(*_: Any, **__: Any) -> None:
        for _ in range(2):
            renewed.append((copy.there / ".runner").read_text())
            time.sleep(5 * mirroring._INTERVAL)

    monkeypatch.setattr(type(copy.mirror._remote.files), "put_file", put_slowly)
    copy.mirror.keep_lock()
    copy.mirror._copy()
    copy.mirror.release()
    assert len(set(renewed)) > 1
    assert not (copy.there / ".runner").exists()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_error_of_a_store_that_stays_away_says_where_everything_is(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "_LAST_TRIES", 0.0)
    copy = Store(store, machines)

    def fail(*_: Any) -> None:
        raise SweepError("the store is away")

    def run() -> None:
        with mirrored(runs_path(copy.url), "demo", fresh=False, notify=lambda note: None):
            for name in ("read_json", "write_json", "remove"):
                monkeypatch.setattr(type(copy.mirror._remote), name, fail)

    copy.mirror._copy()
    (copy.there / ".runner").unlink()
    with pytest.raises(SweepError, match="the copy is not complete; everything is in "):
        run()


def test_a_round_whose_list_was_not_written_writes_it_in_the_next_one(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    copy.mirror._copy()
    listed = (copy.there / MANIFEST).read_text()
    copy.mirror._id = "another run"
    copy.write("trial-0000/output.log", "more")
    with monkeypatch.context() as patch:
        patch.setattr(copy.mirror, "_renew", lambda: None)
        patch.setattr(Record, "write", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            copy.mirror._copy()
        assert (copy.there / MANIFEST).read_text() == listed
    with monkeypatch.context() as patch:
        patch.setattr(copy.mirror, "_renew", lambda: None)
        copy.mirror._copy()
    assert json.loads((copy.there / MANIFEST).read_text())["writer"] == "another run"


def test_a_full_disk_here_does_not_end_the_copying(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    (copy.there / ".runner").unlink()
    notes: list[str] = []
    with mirrored(runs_path(copy.url), "demo", fresh=False, notify=notes.append):
        with monkeypatch.context() as patch:
            patch.setattr(Record, "write", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
            copy.write("trial-0000/output.log", "more")
            wait_until(lambda: bool(notes))
        copy.write("trial-0000/output.log", "and more")
        wait_until(lambda: (copy.there / "trial-0000/output.log").read_text() == "and more")
    assert len(notes) == 1
    assert "No space left on device; the sweep continues, and is copied as soon as" in notes[0]


def test_what_belongs_to_another_user_is_left_out_of_the_copy_with_one_note(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = runs_path(f"file://{store}") / "demo"
    (root / "trial-0000").mkdir(parents=True)
    (root / "sweep.yaml").write_text("name: demo")
    (root / "journal.log").write_text("{}")
    secret = root / "trial-0000/cache.bin"
    secret.write_text("of root in a container")
    notes: list[str] = []
    mirror = Mirror(remote_runs(root.parent), root, notes.append)
    put = mirror._remote.files.put_file

    def put_file(source: str, *arguments: Any) -> None:
        if source == str(secret):
            raise PermissionError(errno.EACCES, "Permission denied", source)
        put(source, *arguments)

    monkeypatch.setattr(mirror._remote.files, "put_file", put_file)
    monkeypatch.setattr(mirroring.os, "access", lambda path, mode: str(path) != str(secret))
    mirror._copy()
    mirror._copy(is_last=True)
    assert json.loads((store / "demo" / MANIFEST).read_text())["files"] == ["journal.log", "sweep.yaml"]
    assert notes == [f"{secret} cannot be read, so that trial-0000/cache.bin is not copied to file://{store}"]
    before = (store / "demo" / MANIFEST).stat().st_mtime_ns
    mirror._copy()
    assert (store / "demo" / MANIFEST).stat().st_mtime_ns == before, "nothing has changed"
    monkeypatch.setattr(mirror._remote.files, "put_file", put)
    monkeypatch.setattr(mirroring.os, "access", lambda path, mode: True)
    mirror._copy(is_last=True)
    assert (store / "demo/trial-0000/cache.bin").read_text() == "of root in a container"
    assert "trial-0000/cache.bin" in json.loads((store / "demo" / MANIFEST).read_text())["files"]


def test_a_store_that_refuses_files_is_an_error(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = runs_path(f"file://{store}") / "demo"
    root.mkdir(parents=True)
    (root / "sweep.yaml").write_text("name: demo")
    mirror = Mirror(remote_runs(root.parent), root, print)
    monkeypatch.setattr(
        mirror._remote.files, "put_file", Mock(side_effect=PermissionError(errno.EACCES, "Access Denied"))
    )
    with pytest.raises(SweepError, match="Access Denied"):
        mirror._copy()


def test_only_files_and_links_to_files_of_the_sweep_are_copied(
    store: Path, machines: Machines, tmp_path: Path
) -> None:
    copy = Store(store, machines)
    copy.write("trial-0000/checkpoint/0001-step-1/last.ckpt", "weights")
    folder = copy.root / "trial-0000/checkpoint/0001-step-1"
    (folder / "best.ckpt").symlink_to("last.ckpt")
    (tmp_path / "secret").write_text("secret")
    (folder / "elsewhere").symlink_to(tmp_path / "secret")
    (folder / "dangling").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    copy.mirror._copy()
    found = {Path(name).name: text for name, text in copy.fetched("second").items() if "checkpoint" in name}
    assert found == {"last.ckpt": b"weights", "best.ckpt": b"weights"}


def test_the_last_writer_is_known_as_long_as_its_list_is_in_the_store(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    copy.mirror._record.writers = ["earlier"]

    def fail(*_: Any) -> None:
        raise SweepError("the store is away")

    for number in range(3):
        copy.write("journal.log", "1\n" * (number + 2))
        with monkeypatch.context() as patch:
            patch.setattr(copy.mirror, "_renew", lambda: None)
            patch.setattr(type(copy.mirror._remote), "write_json", fail)
            with pytest.raises(SweepError):
                copy.mirror._copy()
        assert Record.read(copy.root).writers[0] == "earlier"
    copy.mirror._copy()
    assert copy.mirror._record.writers == [copy.mirror._id]


def test_a_checkpoint_that_is_removed_while_it_is_copied_is_not_in_the_copy(
    store: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Store(store, machines)
    for name in ("a", "b"):
        copy.write(f"trial-0000/checkpoint/0001-step-1/{name}", "1")
    listed = mirroring.local_files(copy.root)
    monkeypatch.setattr(mirroring, "local_files", lambda root: listed)
    (copy.root / "trial-0000/checkpoint/0001-step-1/b").unlink()
    copy.mirror._copy()
    assert not any("checkpoint" in name for name in copy.fetched("second"))


def test_files_that_grow_are_appended_so_that_their_readers_go_on(store: Path, machines: Machines) -> None:
    copy = Store(store, machines)
    copy.write("trial-0000/events.out.tfevents.1", "abc")
    copy.mirror._copy()
    copy.fetched("second")
    here = runs_path(copy.url) / "demo/trial-0000/events.out.tfevents.1"
    inode = here.stat().st_ino
    copy.write("trial-0000/events.out.tfevents.1", "abcdef")
    copy.mirror._copy()
    assert copy.fetched("second")["trial-0000/events.out.tfevents.1"] == b"abcdef"
    assert here.stat().st_ino == inode


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sweep.yaml", True),
        (".usage", True),
        ("trial-0000/.hydra/config.yaml", True),
        ("trial-0000/artifacts/.model.pt.0123abcd", False),
        ("trial-0000/checkpoint/.0001-step-1.0123abcd/state", False),
        (".password", False),
        (".lock", False),
        (".requests/x", False),
        ("sweep.tmp", False),
        ("journal.log.lock", False),
    ],
)
def test_locks_secrets_and_unfinished_files_are_not_copied(name: str, expected: bool) -> None:
    assert is_copied(name) is expected
    assert unit("trial-0000/checkpoint/1/a/b") == "trial-0000/checkpoint/1"


def test_a_url_that_cannot_be_used_is_one_error(
    project: Path, machines: Machines, make_sweep: MakeSweep
) -> None:
    for url, message in (
        (
            "nix://bucket/runs",
            "--runs nix://bucket/runs: Protocol not known: nix; write for example s3://",
        ),
        ("gs://bucket/runs", "--runs gs://bucket/runs: needs a package for gs://: Please install gcsfs"),
    ):
        assert message in call_here("status", "demo", "--runs", url, status=2).stderr
    with pytest.raises(InputError, match="--fresh: cannot move a sweep aside in file://"):
        sweep.run(make_sweep(CODE), inline=True, fresh=True, runs=f"file://{project}/store")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a folder in a bucket of a local S3 server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [
        sys.executable,
        "-c",
        "from moto.server import main; main()",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        end = time.monotonic() + PATIENCE
        with socket.socket() as client:
            while client.connect_ex(("127.0.0.1", port)) and time.monotonic() < end:
                time.sleep(0.1)
        import s3fs

        s3fs.S3FileSystem(use_listings_cache=False).mkdir("bucket")
        yield "s3://bucket/some/runs"
        server.kill()


@pytest.mark.process
def test_a_sweep_is_resumed_from_an_s3_bucket(
    make_sweep: MakeSweep, project: Path, bucket: str, machines: Machines
) -> None:
    file = make_sweep(CODE)
    (project / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        sweep.run(file, inline=True, runs=bucket)
    (project / "stop").unlink()
    machines.use("second")
    result = sweep.run(file, inline=True, runs=bucket)
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 6
    assert (runs_path(bucket) / "demo/trial-0002/started.txt").read_text() == "0 2 "
    whole = files(runs_path(bucket) / "demo")
    machines.use("reader")
    assert len(json.loads(call_here("trials", "demo", "--json", "--runs", bucket).stdout)) == 6
    assert "demo" in call_here("ls", "--runs", bucket).stdout
    machines.use("fourth")
    remote = remote_runs(runs_path(bucket))
    assert remote is not None
    fetch(remote, runs_path(bucket) / "demo")
    assert files(runs_path(bucket) / "demo") == whole


@pytest.mark.parametrize("url", ["s3://", "s3:///"])
def test_a_url_without_a_bucket_is_an_error_and_no_local_folder(url: str) -> None:
    with pytest.raises(InputError, match="names no bucket; write for example s3://BUCKET/runs"):
        runs_path(url)
