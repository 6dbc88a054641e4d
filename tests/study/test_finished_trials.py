"""Finished trials are seen once each, whenever they finish."""

from __future__ import annotations

import optuna
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from sweep.study.finished_trials import FinishedTrials


def test_each_trial_is_returned_once_when_it_has_finished() -> None:
    study = optuna.create_study()
    finished = FinishedTrials()
    trials = [study.ask() for _ in range(4)]
    study.tell(trials[2], 1.0)
    assert [trial.number for trial in finished.new(study)] == [2]
    late = study.ask()
    study.tell(late, state=optuna.trial.TrialState.PRUNED)
    study.tell(trials[0], state=optuna.trial.TrialState.FAIL)
    assert [trial.number for trial in finished.new(study)] == [0, 4]
    assert finished.new(study) == []
    study.tell(trials[1], 2.0)
    study.tell(trials[3], 3.0)
    assert [trial.number for trial in finished.new(study)] == [1, 3]


def test_a_trial_that_only_an_earlier_view_of_the_study_had_is_forgotten() -> None:
    study, view = optuna.create_study(), optuna.create_study()
    for each in (study, view, view):
        each.ask()
    finished = FinishedTrials()
    assert finished.new(view) == []
    assert [trial.number for trial in finished.unfinished] == [0, 1]
    assert finished.new(study) == []
    assert [trial.number for trial in finished.unfinished] == [0]
    study.tell(study.ask(), 1.0)
    assert [trial.number for trial in finished.new(study)] == [1]


def test_a_trial_that_runs_only_in_an_earlier_view_of_the_study_still_waits() -> None:
    study, view = optuna.create_study(), optuna.create_study()
    for each in (study, view):
        each.enqueue_trial({})
        each.enqueue_trial({})
    view.ask()
    finished = FinishedTrials()
    for each in (study, view, study):
        assert finished.new(each) == []
    study.tell(study.ask(), 1.0)
    study.tell(study.ask(), 1.0)
    assert [trial.number for trial in finished.new(study)] == [0, 1]
    assert finished.unfinished == []


def test_a_trial_that_waits_is_returned_when_it_has_finished() -> None:
    study = optuna.create_study()
    finished = FinishedTrials()
    for x in range(4):
        study.enqueue_trial({"x": x})
    assert finished.new(study) == []
    running = [study.ask(), study.ask()]
    assert finished.new(study) == []
    assert [trial.number for trial in finished.unfinished] == [0, 1, 2]
    study.tell(running[1], 1.0)
    study.tell(study.ask(), 1.0)
    assert [trial.number for trial in finished.new(study)] == [1, 2]
    assert [trial.number for trial in finished.unfinished] == [0, 3]
    study.tell(study.ask(), 1.0)
    sampled = study.ask()
    study.tell(running[0], 1.0)
    assert [trial.number for trial in finished.new(study)] == [0, 3]
    study.tell(sampled, 1.0)
    assert [trial.number for trial in finished.new(study)] == [4]
    assert finished.new(study) == []


@given(st.lists(st.sampled_from(["ask", "enqueue", "tell", "look"]), max_size=60))
def test_each_trial_is_returned_once_in_any_order_of_events(events: list[str]) -> None:
    study = optuna.create_study()
    finished, found = FinishedTrials(), []
    live: list[optuna.Trial] = []
    for index, event in enumerate([*events, "look"]):
        if event == "ask":
            live.append(study.ask())
        elif event == "enqueue":
            study.enqueue_trial({})
        elif event == "tell" and live:
            study.tell(live.pop(index % len(live)), 1.0)
        elif event == "look":
            found += [trial.number for trial in finished.new(study)]
            trials = study.get_trials(deepcopy=False)
            states = {trial.number: trial.state for trial in trials}
            assert sorted(found) == [number for number, state in states.items() if state.is_finished()]
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
            expected = sorted([*running, *waiting[:1]], key=lambda trial: trial.number)
            assert finished.unfinished == expected
