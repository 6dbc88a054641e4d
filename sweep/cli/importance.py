"""`sweep importance`: how much each parameter matters."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from typer import Option

from sweep.cli.options import Json, Runs, SweepName, print_json
from sweep.system.directory import RUNS


class Evaluator(str, Enum):
    """How importance is measured."""

    fanova = "fanova"
    ped_anova = "ped-anova"


_EVALUATOR = Option(
    "--evaluator",
    help="fanova: the share of the metric's variation over the whole space, by a functional ANOVA of a "
    "surrogate; ped-anova: what matters for being among the best, by Optuna's PED-ANOVA.",
)


def importance(
    name: SweepName,
    runs: Runs = RUNS,
    evaluator: Annotated[Evaluator, _EVALUATOR] = Evaluator.fanova,
    as_json: Json = False,
) -> None:
    """Print how much each parameter matters, with the range in which its importance lies.

    With several goals, there is a table for each.

    \b
    Examples:
      sweep importance digits-cnn
      sweep importance digits-cnn --evaluator ped-anova
      sweep importance digits-cnn --json
    """
    from sweep.analysis.metric_importances import metric_importances
    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    metrics = metric_importances(view)
    if as_json:
        print_json(
            {"version": 1, "name": view.spec.name, "metrics": [metric.to_dict() for metric in metrics]}
        )
        return
    from sweep.console.importance import print_importances

    for metric in metrics:
        print_importances(metric, is_ped=evaluator is Evaluator.ped_anova)
