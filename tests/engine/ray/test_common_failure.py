"""A failure that the first trials have in common, with several trials at once."""

from __future__ import annotations

import pytest

import sweep
from sweep.engine.observer import Observer
from tests.conftest import MakeSweep

pytestmark = pytest.mark.usefixtures("ray_cluster")


class Notes(Observer):
    """Collects notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def test_a_sweep_whose_trials_all_fail_stops_after_those_that_were_running(make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial): raise ValueError(trial.params.x)", stop={"trials": 60})
    result = sweep.run(file, max_parallel=4)
    assert {trial.state for trial in result.trials} == {"FAIL"}
    assert 5 <= len(result.trials) <= 5 + 3


def test_free_slots_wait_for_running_trials_which_show_that_trials_can_succeed(
    make_sweep: MakeSweep,
) -> None:
    file = make_sweep(
        """
        import time

        def train(trial):
            while not (trial.directory.parent / "trial-0005").exists():
                time.sleep(0.01)
            if trial.number < 5:
                raise ValueError(trial.params.x)
            time.sleep(4)
            return 1.0
        """,
        stop={"trials": 12},
    )
    observer = Notes()
    result = sweep.run(file, max_parallel=6, observer=observer)
    assert [trial.state for trial in result.trials] == ["FAIL"] * 5 + ["COMPLETE"] * 7
    assert len([note for note in observer.notes if "failed for the same reason" in note]) <= 1
