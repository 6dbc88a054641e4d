"""Finished trials are seen once each, whenever they finish."""

from __future__ import annotations

import optuna

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
