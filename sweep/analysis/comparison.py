"""`Comparison`: some trials side by side, of one sweep or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sweep.analysis.curves import learning_curves
from sweep.analysis.query import Order, SweepTrials, check_params, select
from sweep.analysis.view import TrialRow
from sweep.sweepfile.types import same_value

_MISSING = object()


@dataclass(frozen=True)
class ComparedTrial:
    """One of the trials that are compared.

    Args:
        sweep: the trials of its sweep.
        row: the trial.
        curve: its learning curve, the metric's values by step.
    """

    sweep: SweepTrials
    row: TrialRow
    curve: Sequence[tuple[int, float]]

    @property
    def is_best(self) -> bool:
        """Whether it is the best trial of its sweep, or on the Pareto front."""
        return self.row.number in self.sweep.best


@dataclass(frozen=True)
class Comparison:
    """Some trials side by side.

    Args:
        sweeps: the sweeps to which they belong.
        trials: the trials.
        found: for each sweep, how many of its trials fulfil the condition.
        params: the parameters that are compared.
    """

    sweeps: Sequence[SweepTrials]
    trials: Sequence[ComparedTrial]
    found: Sequence[int]
    params: Sequence[str]

    @cached_property
    def differing(self) -> list[str]:
        """The parameters whose values differ between the trials; an inactive one differs from all values."""
        differing = []
        for name in self.params:
            values = [trial.row.params.get(name, _MISSING) for trial in self.trials]
            if not all(same_value(values[0], value) for value in values[1:]):
                differing.append(name)
        return differing

    @property
    def metrics(self) -> list[str]:
        """The metrics that one of the trials has, those with a goal first."""
        measured = [trial.sweep.measured(trial.row) for trial in self.trials]
        names = dict.fromkeys(name for sweep in self.sweeps for name in sweep.metrics)
        goals = [goal.name for sweep in self.sweeps for goal in sweep.view.spec.goals]
        present = [name for name in names if any(name in values for values in measured)]
        return sorted(present, key=lambda name: name not in goals)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as `sweep compare --json` prints it."""
        return {
            "sweeps": [
                {
                    "name": sweep.view.spec.name,
                    "dir": str(sweep.view.directory.root),
                    "trials": len(sweep.view.frozen_trials),
                    "found": found,
                }
                for sweep, found in zip(self.sweeps, self.found, strict=True)
            ],
            "trials": [
                {
                    "sweep": trial.sweep.view.spec.name,
                    **trial.row.to_dict(),
                    "is_best": trial.is_best,
                    "curve": [list(point) for point in trial.curve],
                }
                for trial in self.trials
            ],
            "params": list(self.params),
            "differing": self.differing,
        }


def compare(
    sweeps: Sequence[SweepTrials],
    where: str | None = None,
    order: Order | None = None,
    params: Sequence[str] | None = None,
    limit: int | None = None,
) -> Comparison:
    """Compare trials of some sweeps.

    Args:
        sweeps: the sweeps, each with the trials to choose from.
        where: a condition that the trials fulfil.
        order: the order of a sweep's trials. Without one the best are first.
        params: only these parameters.
        limit: how many trials of each sweep whose trials are not chosen by their numbers.

    Raises:
        InputError: the condition, the order or a parameter is invalid.
    """
    if params is not None:
        check_params(sweeps, params)
    selected = select(sweeps, where, order)
    trials = []
    for sweep, rows in zip(sweeps, selected, strict=True):
        curves = learning_curves(sweep.view)
        shown = rows if sweep.is_chosen else rows[:limit]
        trials += [ComparedTrial(sweep, row, curves.get(row.number, ())) for row in shown]
    if params is None:
        params = list(dict.fromkeys(name for sweep in sweeps for name in sweep.params))
        params = [name for name in params if any(name in trial.row.params for trial in trials)]
    return Comparison(sweeps, trials, [len(rows) for rows in selected], params)
