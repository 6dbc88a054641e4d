"""`SweepResult`: what a sweep has found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from sweep.analysis import formatting as text
from sweep.analysis.artifacts import best_repeat, find_artifact
from sweep.analysis.failures import most_frequent
from sweep.analysis.view import SweepView, TrialRow
from sweep.errors import SweepError

if TYPE_CHECKING:
    import optuna
    import pandas


class SweepResult:
    """A sweep that has been run, or still runs, as it stood when it was opened.

    Attributes:
        directory: its directory, which is a TensorBoard log directory.
        study: the Optuna study, for its visualisations and everything else.
    """

    def __init__(self, view: SweepView) -> None:
        self._view = view
        self.directory: Path = view.directory.root
        if view.study is None:
            raise SweepError(f"{view.spec.name}: has no study")
        self.study: optuna.Study = view.study
        self._counts = text.counts(view.counts)  # read now: another process may go on with the sweep

    def __repr__(self) -> str:
        best = self._view.best
        found = ""
        if best is not None:
            found = f"; best: trial {best.number}, {text.parameters(self._view.values(best))}"
        return f"SweepResult({str(self.directory)!r}, {self._counts}{found})"

    @property
    def best_trial(self) -> TrialRow:
        """The best trial; with several goals the first of `best_trials`.

        Raises:
            SweepError: no trial is complete.
        """
        return self._view.row(self._best())

    @property
    def best_trials(self) -> list[TrialRow]:
        """The trials that none is better than: one, or with several goals the Pareto front."""
        return [self._view.row(trial) for trial in self._view.front]

    @property
    def best_params(self) -> dict[str, Any]:
        """All parameters of the best trial, constants included.

        Raises:
            SweepError: no trial is complete.
        """
        return self._view.params(self._best())

    @property
    def best_value(self) -> float:
        """The metric of the best trial.

        Raises:
            SweepError: no trial is complete.
        """
        return float(self._best().values[0])

    @property
    def trials(self) -> list[TrialRow]:
        """All trials, as `sweep trials --format json` gives them."""
        return self._view.rows()

    def artifact(self, name: str) -> Path:
        """Where the best trial keeps what it has saved under a name; with repeats, its best one.

        Raises:
            SweepError: no trial is complete.
            InputError: it has saved nothing of that name.
        """
        best = self._best()
        return find_artifact(self._view, best.number, best_repeat(self._view, best), name)

    def dataframe(self) -> pandas.DataFrame:
        """All trials as a table: a row each; `params.lr`, `metrics.val/loss` and so on are columns."""
        import pandas

        rows = [row.to_dict() for row in self.trials]
        return pandas.json_normalize(rows, max_level=1)

    def _best(self) -> FrozenTrial:
        best = self._view.best
        if best is None:
            why_not = "" if self._view.counts["complete"] else self._why_not()
            raise SweepError(f"{self._view.spec.name}: {self._view.why_no_best}{why_not}")
        return best

    def _why_not(self) -> str:
        reason = most_frequent(self.trials)
        return f"; {reason}" if reason is not None else ""


def load(sweep: str | os.PathLike[str], runs: str | os.PathLike[str] = "runs") -> SweepResult:
    """Open a sweep that has been run, or runs now. It is only read.

    Args:
        sweep: the path of its directory, or its name below `runs`.
        runs: the folder that holds the sweeps.

    Raises:
        InputError: there is none.
    """
    return SweepResult(SweepView.open(os.fspath(sweep), Path(runs)))
