"""`SweepResult`: the trials of a sweep, the best ones, and their artifacts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from sweep.analysis import formatting as text
from sweep.analysis.artifacts import best_repeat, find_artifact
from sweep.analysis.failures import explain_no_best
from sweep.analysis.view import SweepView, TrialRow
from sweep.errors import SweepError
from sweep.system.paths import expand_home, home_path
from sweep.system.remote.store import runs_path

if TYPE_CHECKING:
    import optuna
    import pandas
    import plotly.graph_objects

    from sweep.analysis.explanation import Explanation

_SENTENCES = 3
"""How many sentences of `explain` a notebook shows with a result."""


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
        best, front = self._view.best, self._view.front
        best_text = ""
        if len(front) > 1:
            best_text = f"; {len(front)} trials on the Pareto front"
        elif best is not None:
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

    def curves(self) -> pandas.DataFrame:
        """All values that the trials have logged, one per row: trial, repeat, metric, step, value, time.

        `repeat` is the name of a repeat, such as `seed-0`; `time` is in seconds since the epoch.
        """
        from sweep.rendering.exports import curves_frame

        return curves_frame(self._view)

    def explain(self) -> Explanation:
        """The results of the sweep so far, as `sweep explain` prints it: its `statements`, or `print` it."""
        from sweep.analysis.explanation import explain

        return explain(self._view)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write an HTML report about the sweep, as `sweep report` does; returns its path.

        Args:
            path: the HTML file, which is replaced.

        Raises:
            SweepError: a library of the extra `analysis` is not installed.
        """
        from sweep.rendering.html import write_report

        file = home_path(path)
        write_report([self._view], file)
        return file

    def plot(
        self, kind: str, params: Sequence[str] | None = None, metric: str | None = None
    ) -> plotly.graph_objects.Figure:
        """Draw a plot of the sweep with Plotly; a notebook shows it.

        Args:
            kind: a kind of `sweep plot`, for example `history`, `slice` or `curves`.
            params: the parameters that it shows; by default all, or the most important.
            metric: which of several goals it shows; the first by default.

        Raises:
            InputError: there is no such plot.
            SweepError: the sweep does not have enough trials for it, or Plotly is not installed.
        """
        from sweep.rendering.plots import figure

        return figure(self._view, kind, params, metric)

    def _repr_html_(self) -> str:
        """What a notebook shows: the counts, the best trial, and the first sentences of `explain`."""
        rows = {"trials": self._counts, "directory": str(self.directory)}
        best = self._view.best if len(self._view.front) == 1 else None  # `explain` has the Pareto front
        if best is not None:
            values, params = self._view.values(best), self._view.params(best)
            rows[f"best: trial {best.number}"] = f"{text.parameters(values)} with {text.parameters(params)}"
        cells = "".join(
            f'<tr><th style="text-align: left">{name}</th>'
            f'<td style="text-align: left">{text.html(content)}</td></tr>'
            for name, content in rows.items()
        )
        sentences = [statement.text for statement in self.explain().statements[:_SENTENCES]]
        items = "".join(f"<li>{text.html(sentence)}</li>" for sentence in sentences)
        title = f"<b>{text.html(self._view.spec.name)}</b> ({self._view.state})"
        return f"{title}<table>{cells}</table><ul>{items}</ul>"

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
    return SweepResult(SweepView.open(expand_home(os.fspath(sweep)), runs_path(runs)))
