"""The results of a sweep about its objective: the best configuration and the effect of the parameters."""

from __future__ import annotations

from sweep.analysis import formatting
from sweep.analysis.best import best_statements
from sweep.analysis.importance import importances
from sweep.analysis.metric_health import metric_health_statements
from sweep.analysis.metric_model import metric_model
from sweep.analysis.parameter_statements import parameter_statements
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView


def objective_statements(view: SweepView) -> list[Statement]:
    """The statements about the metrics' values. Works on every sweep."""
    if view.best is None:
        return [Statement("best", "no_best", f"There is no best trial: {view.why_no_best}.")]
    models = [metric_model(view, goal) for goal in range(len(view.spec.goals))]
    statements = best_statements(models[0]) if len(models) == 1 else _front(view)
    for model in models:
        ranked = importances(model) if model.is_enough else []
        statements += [*parameter_statements(model, ranked), *metric_health_statements(model, ranked)]
    return statements


def _front(view: SweepView) -> list[Statement]:
    """The statement about the best trials of a sweep with several goals."""
    numbers = [trial.number for trial in view.front]
    names = ", ".join(map(str, numbers[:8])) + (" and others" if len(numbers) > 8 else "")
    goals = " and ".join(goal.name for goal in view.spec.goals)
    text = f"{formatting.plural(len(numbers), 'trial')} on the Pareto front of {goals}: {names}."
    evidence = "no trial is better in one of them and as good in the others"
    return [Statement("best", "front", text, evidence, {"numbers": numbers})]
