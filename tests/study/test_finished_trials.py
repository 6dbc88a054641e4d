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
