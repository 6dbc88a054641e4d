"""What is used of Optuna's private parts."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
from sweep.study.private import ped_anova_evaluator

evaluator = ped_anova_evaluator()
assert "sklearn" not in sys.modules and "optuna.importance" not in sys.modules

import optuna

study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 0.1), n_trials=30)
theirs = optuna.importance.PedAnovaImportanceEvaluator
assert optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator())
assert evaluator().evaluate(study) == theirs().evaluate(study)
print("equal")
"""


@pytest.mark.process
def test_ped_anova_is_optunas_without_the_import_of_scikit_learn() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal", done.stderr
