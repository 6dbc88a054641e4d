"""How long a sweep has run is stored all the time, in a file that does not grow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict

import pytest

import sweep
from sweep.controller import usage
from sweep.controller.controller import Controller
from sweep.controller.usage import Usage, stored_usage
from sweep.messages import Outcome
from sweep.study.attributes import USAGE
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from tests.conftest import MakeSweep


@pytest.fixture(autouse=True)
def _save_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_SAVE_EVERY", 0.02)


def make_controller(directory: SweepDirectory) -> Controller:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "stop": {"trials": 9},
        }
    )
    return Controller(spec, directory, slots=2)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_journal_grows_with_what_trials_do_and_not_with_time(directory: SweepDirectory) -> None:
    controller = make_controller(directory)
    controller.next_step(None)
    before = directory.journal.read_bytes()
    with controller.saving_usage():
        seen: set[float] = set()

        def look() -> bool:
            controller.progress()
            controller.report(0, 1, [])
            seen.add(stored_usage(directory, controller._study).elapsed)
            return len(seen) >= 5

        wait_for(look)
    controller.close()
    assert directory.journal.read_bytes() == before
    controller.finish(Outcome(0, 1, "returned", value=1.0))
    assert b'"usage"' not in directory.journal.read_bytes()


def test_the_usage_of_a_killed_session_counts(directory: SweepDirectory) -> None:
    killed = make_controller(directory)
    killed.next_step(None)
    with killed.saving_usage():
        wait_for(lambda: stored_usage(directory, None).busy > 0.2)
    before = stored_usage(directory, None)
    resumed = make_controller(directory)
    assert resumed.progress().elapsed >= before.elapsed > 0.2
    after = resumed._meter.now()
    assert after.busy >= before.busy
    assert after.capacity >= 2 * before.elapsed - 0.01


def test_the_usage_in_the_journal_of_an_earlier_version_counts(directory: SweepDirectory) -> None:
    controller = make_controller(directory)
    earlier = Usage(elapsed=3600.0, busy=1800.0, capacity=7200.0, until=time.time())
    controller._study.set_user_attr(USAGE, asdict(earlier))
    directory.usage.unlink()
    assert stored_usage(directory, controller._study) == earlier
    assert make_controller(directory).progress().elapsed >= 3600.0
    assert stored_usage(directory, controller._study).elapsed >= 3600.0


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"fly": 1}'])
def test_a_usage_that_cannot_be_read_is_zero(directory: SweepDirectory, content: str) -> None:
    directory.usage.write_text(content)
    assert stored_usage(directory, None) == Usage()


def test_the_usage_is_stored_while_an_inline_trial_runs(make_sweep: MakeSweep) -> None:
    code = """
    import json, time
    from pathlib import Path

    def train(trial):
        seen = set()
        end = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < end:
            seen.add(json.loads(Path("runs/demo/.usage").read_text())["busy"])
            time.sleep(0.01)
        return len(seen)
    """
    result = sweep.run(make_sweep(code), n_trials=1, inline=True)
    assert [trial.value for trial in result.trials] == [3.0]
    assert json.loads((result.directory / ".usage").read_text())["elapsed"] > 0


def test_slots_that_come_and_go_count_while_they_are_there(directory: SweepDirectory) -> None:
    controller = make_controller(directory)
    time.sleep(0.05)
    first = controller._meter.now()
    controller.set_slots(100)
    time.sleep(0.05)
    controller.set_slots(1)
    last = controller._meter.now()
    assert first.capacity == pytest.approx(2 * first.elapsed, rel=0.01)
    assert last.capacity - first.capacity == pytest.approx(100 * (last.elapsed - first.elapsed), rel=0.05)
    assert controller.progress().slots == 1
