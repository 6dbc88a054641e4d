"""`SweepResult`: the trials of a sweep, the best ones, and their artifacts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from sweep.analysis import formatting as text
from sweep.analysis.artifacts import best_repeat, find_artifact
from sweep.analysis.failures import explain_no_best
from sweep.analysis.view import SweepView, TrialRow
from sweep.errors import SweepError
from sweep.system.paths import expand_home, home_path

if TYPE_CHECKING:
    import optuna
    import pandas


class SweepResult:
    """The result of a sweep, finished or running, as of the moment when it was opened.

    Attributes:
        directory: the sweep's directory, which is a TensorBoard log directory.
        study: the Optuna study, for example for `optuna.visualization`.
    """

    def __init__(self, view: SweepView) -> None:
        self._view = view
        self.directory: Path = view.directory.root
        if view.study is None:
            raise SweepError(f"{view.spec.name}: has no study")
        self.study: optuna.Study = view.study
        self._counts = text.counts(view.counts)  # read now: another process can resume the sweep

    def __repr__(self) -> str:
        best = self._view.best
        best_text = ""
        if best is not None:
            best_text = f"; best: trial {best.number}, {text.parameters(self._view.values(best))}"
        return f"SweepResult({str(self.directory)!r}, {self._counts}{best_text})"

    @property
    def best_trial(self) -> TrialRow:
        """The best trial; with several goals the first of `best_trials`.

        Raises:
            SweepError: no trial is complete and feasible.
        """
        return self._view.row(self._best())

    @property
    def best_trials(self) -> list[TrialRow]:
        """The best trials: one, or with several goals the Pareto front."""
        return [self._view.row(trial) for trial in self._view.front]

    @property
    def best_params(self) -> dict[str, Any]:
        """All parameters of the best trial, constants included.

        Raises:
            SweepError: no trial is complete and feasible.
        """
        return self._view.params(self._best())

    @property
    def best_value(self) -> float:
        """The metric's value of the best trial.

        Raises:
            SweepError: no trial is complete and feasible.
        """
        return float(self._best().values[0])

    @property
    def trials(self) -> list[TrialRow]:
        """All trials, as `sweep trials --format json` prints them."""
        return self._view.rows()

    def artifact(self, name: str) -> Path:
        """The path of an artifact of the best trial; with repeats, of its best repeat.

        Args:
            name: the artifact's file name.

        Raises:
            SweepError: no trial is complete and feasible.
            InputError: the trial has no artifact of this name.
        """
        best = self._best()
        return find_artifact(self._view, best.number, best_repeat(self._view, best), name)

    def dataframe(self) -> pandas.DataFrame:
        """All trials, one per row, with columns such as `params.lr` and `metrics.val/loss`."""
        import pandas

        rows = [row.to_dict() for row in self.trials]
        return pandas.json_normalize(rows, max_level=1)

    def _best(self) -> FrozenTrial:
        best = self._view.best
        if best is None:
            raise SweepError(explain_no_best(self._view))
        return best


def load(sweep: str | os.PathLike[str], runs: str | os.PathLike[str] = "runs") -> SweepResult:
    """Open a sweep, finished or running. Nothing is written to it.

    Args:
        sweep: the path of the sweep's directory, or its name in `runs`.
        runs: the folder that contains the sweeps.

    Raises:
        InputError: there is no such sweep.
    """
    return SweepResult(SweepView.open(expand_home(os.fspath(sweep)), home_path(runs)))
