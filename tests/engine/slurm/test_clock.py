"""How much time a Slurm job has left."""

from __future__ import annotations

import time

import pytest

from sweep.engine.slurm.clock import JobClock, read_time_left
from tests.engine.slurm.conftest import FakeSlurm


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:05\n", 5),
        ("59:59", 3599),
        ("2:00:00", 7200),
        ("1-02:03:04", 93784),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_squeue_prints_the_time_left_in_several_forms(text: str, seconds: float | None) -> None:
    assert read_time_left(text) == seconds


def test_the_end_comes_from_the_environment_where_slurm_sets_it() -> None:
    clock = JobClock({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time()) + 100)})
    left = clock.seconds_left()
    assert left is not None
    assert 50 < left <= 100


@pytest.mark.process
def test_the_end_comes_from_squeue_otherwise_and_can_change(fake_slurm: FakeSlurm) -> None:
    (fake_slurm.folder / "left").write_text("5:00")
    clock = JobClock({"SLURM_JOB_ID": "7"})
    left = clock.seconds_left()
    assert left is not None
    assert 200 < left <= 300
    (fake_slurm.folder / "left").write_text("1:00:00")
    clock.renew()
    left = clock.seconds_left()
    assert left is not None
    assert left > 3000


@pytest.mark.process
def test_without_an_answer_nothing_is_known_and_what_is_known_is_kept(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("squeue: error: busy", "squeue")
    assert JobClock({"SLURM_JOB_ID": "7"}).seconds_left() is None
    clock = JobClock({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time()) + 100)})
    clock.renew()
    assert clock.seconds_left() is not None


@pytest.mark.process
def test_a_limit_that_slurm_did_not_tell_is_asked_for_again(
    fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_slurm.fail("squeue: error: busy", "squeue")
    clock = JobClock({"SLURM_JOB_ID": "7"})
    fake_slurm.mend()
    (fake_slurm.folder / "left").write_text("5:00")
    assert clock.seconds_left() is None, "not at once"
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    left = clock.seconds_left()
    assert left is not None
    assert 200 < left <= 300
