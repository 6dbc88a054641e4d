"""Checkpoints are complete or do not exist, and a trial resumes from the latest."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweep.trial.checkpoints import Checkpoint, Checkpoints, find_checkpoints
from tests.conftest import REPOSITORY


class Curves:
    """The curves of a trial whose state is `saved`; `restored` are the states of earlier attempts."""

    def __init__(self, saved: Any = None) -> None:
        self.saved = saved
        self.restored: list[Any] = []

    def state(self) -> Any:
        return self.saved

    def check_process(self) -> None: ...

    def restore(self, state: Any) -> None:
        self.restored.append(state)

    def check_nothing_logged(self) -> None: ...


def make(directory: Path, keep: int = 1, curves: Any = None) -> Checkpoints:
    return Checkpoints(directory, keep, curves or Curves(), lambda: None)


def save(checkpoints: Checkpoints, step: int) -> None:
    with checkpoints.save(step) as path:
        (path / "state").write_text(str(step))


def test_there_is_no_checkpoint_at_first(tmp_path: Path) -> None:
    assert make(tmp_path / "checkpoint").latest() is None


def test_the_latest_has_its_step_and_contents(tmp_path: Path) -> None:
    checkpoints = make(tmp_path / "checkpoint", keep=3)
    for step in (0, 5, 11):
        save(checkpoints, step)
    latest = checkpoints.latest()
    assert latest is not None
    path, step = latest
    assert step == 11
    assert (path / "state").read_text() == "11"


def test_the_given_number_of_checkpoints_is_kept(tmp_path: Path) -> None:
    checkpoints = make(tmp_path, keep=2)
    for step in range(5):
        save(checkpoints, step)
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path)] == [3, 4]


def make_other_rank(directory: Path, resumes_from: str) -> Checkpoints:
    return Checkpoints(directory, 1, Curves(), lambda: None, discards=True, resumes_from=resumes_from)  # type: ignore[arg-type]


def test_another_rank_finds_no_checkpoint_that_rank_0_has_saved_in_this_attempt(tmp_path: Path) -> None:
    save(make(tmp_path), 3)
    other = make_other_rank(tmp_path, resumes_from="")
    assert other.latest() is None
    save(other, 3)
    found = other.latest()
    assert found is not None
    assert found.step == 3, "what rank 0 finds at this point"


def test_another_rank_resumes_from_the_checkpoint_with_which_the_attempt_began(tmp_path: Path) -> None:
    first = make(tmp_path, keep=2)
    save(first, 3)
    (began,) = find_checkpoints(tmp_path)
    save(first, 5)
    assert make_other_rank(tmp_path, began.path.name).latest() == began


def test_another_rank_that_comes_too_late_gets_an_error_and_not_another_checkpoint(tmp_path: Path) -> None:
    first = make(tmp_path)
    save(first, 3)
    (began,) = find_checkpoints(tmp_path)
    save(first, 5)
    with pytest.raises(RuntimeError, match="before the first collective operation"):
        make_other_rank(tmp_path, began.path.name).latest()


def test_the_latest_is_the_one_saved_last_whatever_its_step(tmp_path: Path) -> None:
    checkpoints = make(tmp_path, keep=2)
    for step in (8, 2, 2):
        save(checkpoints, step)
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path)] == [2, 2]
    save(make(tmp_path), 7)
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path)] == [7]


def test_a_block_that_raises_keeps_the_former_checkpoint(tmp_path: Path) -> None:
    checkpoints = make(tmp_path)
    save(checkpoints, 1)

    def fail() -> None:
        with checkpoints.save(2) as path:
            (path / "half").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["0000-step-1"]


KILLED = """
import os, sys
from pathlib import Path
from tests.trial.test_checkpoints import make
checkpoints = make(Path(sys.argv[1]))
with checkpoints.save(1) as path:
    (path / "state").write_text("1")
with checkpoints.save(2) as path:
    (path / "state").write_text("2")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.process
def test_the_unfinished_checkpoint_of_a_killed_process_is_not_found_and_is_removed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, cwd=REPOSITORY)
    assert done.returncode == -signal.SIGKILL
    checkpoints = make(tmp_path)
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.step == 1
    assert len(list(tmp_path.iterdir())) == 2, "and the unfinished second one"
    save(checkpoints, 3)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_state_of_the_curves_is_saved_and_restored(tmp_path: Path) -> None:
    curves = Curves({"best": 0.5})
    checkpoints = make(tmp_path, curves=curves)
    save(checkpoints, 1)
    checkpoints.latest()
    assert curves.restored == [], "this attempt saved it"
    make(tmp_path, curves=curves).latest()
    assert curves.restored == [{"best": 0.5}]
    assert json.loads((tmp_path / "0000-step-1" / ".sweep.json").read_text()) == {"best": 0.5}


def test_files_directories_and_dangling_links_can_be_saved(tmp_path: Path) -> None:
    checkpoints = make(tmp_path)
    with checkpoints.save(1) as path:
        (path / "deep" / "er").mkdir(parents=True)
        (path / "deep" / "er" / "file").touch()
        os.symlink("nowhere", path / "link")
    assert isinstance(checkpoints.latest(), Checkpoint)


@pytest.mark.parametrize("step", [-1, 1.5, True, math.inf, math.nan, pytest.param(10**400, id="huge")])
def test_a_step_is_a_whole_number(tmp_path: Path, step: Any) -> None:
    checkpoints = make(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="it must be a whole number from 0"), checkpoints.save(step):
        pass
    assert not (tmp_path / "checkpoint").exists()


def test_a_checkpoints_step_can_be_larger_than_that_of_a_curve(tmp_path: Path) -> None:
    checkpoints = make(tmp_path)
    save(checkpoints, 3 * 10**12)
    assert [checkpoint.step for checkpoint in find_checkpoints(tmp_path)] == [3 * 10**12]
