"""Artifacts are complete or do not exist, and are found by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.system import durable
from sweep.system.durable import copy_atomically
from sweep.trial.artifacts import Artifacts, find_artifacts
from tests.conftest import MakeSweep


def names(directory: Path) -> list[str]:
    return list(find_artifacts(directory))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_text("weights")
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "trial-0000" / "artifacts"


def test_a_file_is_saved_under_its_own_name_or_a_given_one(model: Path, directory: Path) -> None:
    artifacts = Artifacts(directory)
    assert artifacts.save(model) == directory / "model.pt"
    assert artifacts.save(str(model), name="best") == directory / "best"
    model.write_text("changed later")
    assert (directory / "model.pt").read_text() == (directory / "best").read_text() == "weights"
    assert names(directory) == ["best", "model.pt"]


def test_a_directory_is_saved_with_all_its_contents(tmp_path: Path, directory: Path) -> None:
    (tmp_path / "hf" / "deep" / "empty").mkdir(parents=True)
    (tmp_path / "hf" / "deep" / ".hidden").write_text("too")
    place = Artifacts(directory).save(tmp_path / "hf")
    assert (place / "deep" / ".hidden").read_text() == "too"
    assert (place / "deep" / "empty").is_dir()


@pytest.mark.parametrize("before", ["file", "directory"])
@pytest.mark.parametrize("after", ["file", "directory"])
def test_an_artifact_of_the_same_name_is_replaced(
    before: str, after: str, tmp_path: Path, directory: Path
) -> None:
    for kind in (before, after):
        source = tmp_path / kind / "thing"
        source.parent.mkdir(exist_ok=True)
        if kind == "file":
            source.write_text(kind)
        else:
            source.mkdir(exist_ok=True)
            (source / "inside").write_text(kind)
        place = Artifacts(directory).save(source)
    assert (place if after == "file" else place / "inside").read_text() == after
    assert [path.name for path in directory.iterdir()] == ["thing"], "nothing else is left"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../model.pt", "a/b", "/etc/passwd", ".hidden", "a\0b", "a\nb", "\x1b[31m", 3]
)
def test_a_name_that_is_a_path_is_an_error(name: Any, model: Path, directory: Path) -> None:
    with pytest.raises(ValueError, match="cannot name an artifact"):
        Artifacts(directory).save(model, name)
    assert not directory.exists()


def test_a_missing_file_is_an_error_that_names_it(directory: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"artifact 'nowhere\.pt': there is no such file"):
        Artifacts(directory).save("nowhere.pt")


def test_saving_the_trials_own_directory_is_an_error(directory: Path) -> None:
    directory.parent.mkdir()
    with pytest.raises(ValueError, match="would be copied into itself"):
        Artifacts(directory).save(directory.parent)


def test_saving_an_artifact_onto_itself_is_an_error(model: Path, directory: Path) -> None:
    directory.mkdir(parents=True)
    model.rename(directory / "model.pt")
    with pytest.raises(ValueError, match="would be copied into itself"):
        Artifacts(directory).save(directory / "model.pt")


@pytest.mark.process
def test_a_copy_does_not_depend_on_the_targets_of_links(tmp_path: Path, directory: Path) -> None:
    """As in a cache of Hugging Face, whose snapshots are links to blobs."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "sha").write_text("weights")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "model.bin").symlink_to("../blobs/sha")
    (folder / "blobs").symlink_to(tmp_path / "blobs")
    (folder / "latest").symlink_to("model.bin")
    (folder / "loop").symlink_to(".")
    (folder / "itself").symlink_to("itself")
    (folder / "gone").symlink_to("nowhere")
    place = Artifacts(directory).save(folder)
    for path in (tmp_path / "blobs", folder):
        subprocess.run(["rm", "-r", path], check=True)
    assert (place / "model.bin").read_text() == "weights"
    assert (place / "latest").read_text() == "weights"
    assert (place / "blobs" / "sha").read_text() == "weights"
    assert os.readlink(place / "loop") == "."
    assert os.readlink(place / "itself") == "itself"
    assert os.readlink(place / "gone") == "nowhere"


def test_a_link_is_saved_as_its_target(model: Path, tmp_path: Path, directory: Path) -> None:
    (tmp_path / "latest.pt").symlink_to(model)
    place = Artifacts(directory).save(tmp_path / "latest.pt")
    assert place.name == "latest.pt"
    assert not place.is_symlink()


def test_a_link_to_a_parent_directory_is_an_error(tmp_path: Path, directory: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "up").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="which contains it"):
        Artifacts(directory).save(folder)
    assert list(directory.iterdir()) == []


def test_a_pipe_is_an_error(tmp_path: Path, directory: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="neither a file nor a directory"):
        Artifacts(directory).save(tmp_path / "pipe")


def test_a_copy_that_fails_keeps_the_former_artifact(
    model: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Artifacts(directory).save(model)
    model.write_text("new")

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "sync", fail)
    with pytest.raises(OSError, match="No space left"):
        Artifacts(directory).save(model)
    assert [path.name for path in directory.iterdir()] == ["model.pt"]
    assert (directory / "model.pt").read_text() == "weights"


KILLED = """
import os, sys
from pathlib import Path
from sweep.system import durable
from sweep.trial.artifacts import Artifacts
durable.sync = lambda path: os.kill(os.getpid(), 9)
Artifacts(Path(sys.argv[2])).save(sys.argv[1])
"""


@pytest.mark.process
def test_the_unfinished_copy_of_a_killed_process_is_not_found_and_is_removed(
    model: Path, directory: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(model), str(directory)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(directory.iterdir())) == 1
    assert names(directory) == []
    Artifacts(directory).save(model)
    assert [path.name for path in directory.iterdir()] == ["model.pt"]


KILLED_BETWEEN_RENAMES = """
import os, sys
from pathlib import Path
from sweep.trial.artifacts import Artifacts
Path.replace = lambda copy, place: os.kill(os.getpid(), 9)
Artifacts(Path(sys.argv[2])).save(sys.argv[1])
"""


@pytest.mark.process
def test_a_directory_survives_the_death_of_the_process_that_replaces_it(
    tmp_path: Path, directory: Path
) -> None:
    source = tmp_path / "hf"
    source.mkdir()
    (source / "weights").write_text("old")
    Artifacts(directory).save(source)
    (source / "weights").write_text("new")
    killed = [sys.executable, "-c", KILLED_BETWEEN_RENAMES, str(source), str(directory)]
    for _ in range(2):
        assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
        assert not (directory / "hf").exists()
        assert names(directory) == ["hf"]
        assert (find_artifacts(directory)["hf"] / "weights").read_text() == "old"
    artifacts = Artifacts(directory)
    assert [path.name for path in directory.iterdir()] == ["hf"], "the next attempt restores it"
    artifacts.save(source)
    assert (directory / "hf" / "weights").read_text() == "new"
    assert [path.name for path in directory.iterdir()] == ["hf"]


def test_two_threads_can_save_at_once(
    model: Path, tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Artifacts(directory)
    other = tmp_path / "other.pt"
    other.write_text("other")
    sync = durable.sync

    def save_another_one_meanwhile(path: Path) -> None:
        monkeypatch.setattr(durable, "sync", sync)
        artifacts.save(other)
        sync(path)

    monkeypatch.setattr(durable, "sync", save_another_one_meanwhile)
    artifacts.save(model)
    assert names(directory) == ["model.pt", "other.pt"]


@pytest.mark.process
def test_a_large_file_is_not_read_into_memory(tmp_path: Path, directory: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(600 << 20)  # takes no room
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom sweep.trial.artifacts import Artifacts\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "print(Artifacts(Path(sys.argv[2])).save(sys.argv[1]).stat().st_size)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(large), str(directory)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == 600 << 20
    finally:
        (directory / "large.bin").unlink(missing_ok=True)


@pytest.mark.process
def test_a_reader_finds_a_complete_directory_while_it_is_replaced(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        for file in ("a", "b"):
            (tmp_path / name / file).write_text(name)
    place = tmp_path / "place"
    copy_atomically(tmp_path / "old", place)
    # A reader that has opened the old one sees its files vanish: that counts only if it was not replaced.
    code = """
import pathlib, sys
from sweep.system.durable import list_complete
while True:
    place = list_complete(pathlib.Path(sys.argv[1]).parent)["place"]
    try:
        before, names, after = place.stat(), list(place.iterdir()), place.stat()
    except FileNotFoundError:
        continue
    if all(getattr(after, name) == getattr(before, name) for name in ("st_ino", "st_ctime_ns")):
        print(len(names), flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        try:
            assert reader.stdout is not None
            reader.stdout.readline()
            for turn in range(100):
                copy_atomically(tmp_path / ("new" if turn % 2 else "old"), place)
        finally:
            reader.terminate()
        out, err = reader.communicate()
    assert "Error" not in err
    assert set(out.split()) <= {"2"}


def test_artifacts_of_all_attempts_and_repeats_are_kept(make_sweep: MakeSweep) -> None:
    file = make_sweep(
        """
        import pathlib

        def train(trial):
            pathlib.Path("model.pt").write_text(f"{trial.number} {trial.repeat}")
            first = not pathlib.Path(f"seen-{trial.number}-{trial.repeat}").exists()
            pathlib.Path(f"seen-{trial.number}-{trial.repeat}").touch()
            if first:
                assert trial.save_artifact("model.pt", "first.pt").parent.name == "artifacts"
                raise ValueError
            trial.save_artifact("model.pt")
            return trial.params.x
        """,
        trial={"retries": 1, "retry_on": ["error"]},
        stop={"trials": 2},
        repeats=2,
    )
    result = sweep.run(file, inline=True)
    assert [trial.state for trial in result.trials] == ["COMPLETE", "COMPLETE"]
    assert result.trials[1].artifacts == [
        *("seed-0/artifacts/first.pt", "seed-0/artifacts/model.pt"),
        *("seed-1/artifacts/first.pt", "seed-1/artifacts/model.pt"),
    ]
    root = result.trials[1].directory
    assert [(root / path).read_text() for path in result.trials[1].artifacts] == ["1 0", "1 0", "1 1", "1 1"]
