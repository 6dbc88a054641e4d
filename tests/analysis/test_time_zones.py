"""A sweep that is read in another time zone than the one in which it ran."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.analysis.best_so_far import best_so_far
from sweep.analysis.following import Follower
from sweep.analysis.status import listing_record, started_at
from sweep.analysis.timeline import timeline
from sweep.analysis.view import SweepView
from sweep.system.directory import SweepDirectory
from sweep.system.environment import environments

pytestmark = pytest.mark.usefixtures("project")
OLD_RUNS = Path(__file__).parent.parent / "data" / "sweep-0.1.0" / "runs"


@pytest.fixture
def move_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def run(trials: int, **options: Any) -> SweepView:
    sweep.run(
        lambda trial: -trial.number,
        space={"x": {"min": 0.0, "max": 1.0}},
        name="demo",
        n_trials=trials,
        inline=True,
        progress=False,
        **options,
    )
    return SweepView(SweepDirectory.of(Path("runs"), "demo"))


def moments(view: SweepView) -> list[float]:
    """When the trials of a sweep started and finished, as `sweep trials --json` prints it."""
    texts = [text for row in view.rows() for text in (row.started, row.finished)]
    return [datetime.fromisoformat(text).timestamp() for text in texts if text is not None]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
def test_all_times_are_those_at_which_it_ran(move_to: Callable[[str], None], zone: str) -> None:
    move_to("UTC")
    began = time.time() - 0.001  # times are printed in milliseconds
    view = run(3)
    ended = time.time()
    move_to(zone)
    view = view.again()
    times = moments(view)
    assert len(times) == 6
    assert times == sorted(times)
    times += [started_at(view), datetime.fromisoformat(listing_record(view)["started"]).timestamp() + 1]
    times += [moment for span in timeline(view) for moment in (span.start, span.end)]
    times += [step.moment for step in best_so_far(view)["objective"]]
    best = Follower(view).look().progress.best
    assert best is not None
    assert best.finished is not None
    times.append(best.finished)
    assert all(began <= moment <= ended + 1 for moment in times)


def test_each_trial_has_the_zone_of_the_run_in_which_it_ran(move_to: Callable[[str], None]) -> None:
    began = time.time() - 0.001
    for trials, zone in enumerate(["UTC", "Asia/Tokyo", "America/New_York"], start=1):
        move_to(zone)
        view = run(trials)
    times = moments(view)
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= time.time()
    assert [step.number for step in best_so_far(view)["objective"]] == [0, 1, 2]
    assert len(environments(view.directory)) == 3


def test_many_runs_in_one_zone_cost_no_more_than_one(move_to: Callable[[str], None]) -> None:
    move_to("UTC")
    view = run(1)
    record = json.loads(view.directory.environment.read_text())
    many = [{**record[0], "python": str(number)} for number in range(100)]
    view.directory.environment.write_text(json.dumps(many))
    move_to("Asia/Tokyo")
    assert len(view.again()._runs) == 1
    assert len(environments(view.directory)) == 100


def test_in_the_same_zone_daylight_saving_time_counts(move_to: Callable[[str], None]) -> None:
    move_to("Europe/Berlin")
    view = run(1)
    record = environments(view.directory)[0]
    text = view.directory.environment.read_text().replace(record.started, "2026-06-30T12:00:00.000+02:00")
    view.directory.environment.write_text(text)
    assert view.again().aware(datetime(2026, 12, 1, 12)).isoformat() == "2026-12-01T12:00:00+01:00"
    move_to("UTC")
    assert view.again().aware(datetime(2026, 7, 1, 12)).isoformat() == "2026-07-01T10:00:00+00:00"


def test_times_of_a_sweep_that_did_not_record_its_zone_are_local(move_to: Callable[[str], None]) -> None:
    move_to("Asia/Tokyo")
    view = SweepView(SweepDirectory(OLD_RUNS / "plain"))
    trial = view.frozen_trials[0]
    assert trial.datetime_start is not None
    assert view.rows()[0].started == trial.datetime_start.isoformat(timespec="milliseconds") + "+09:00"
