"""`SweepResult` answers in Python and in a notebook what the commands answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest

import sweep
from sweep.analysis.explanation import explain
from sweep.analysis.view import SweepView
from sweep.errors import InputError

pytestmark = pytest.mark.usefixtures("project")

HOSTILE = "<script>alert(1)</script>\x1b[2J"


def train(trial: sweep.Trial) -> float:
    for step in range(3):
        trial.log({"objective": trial.params.x + step, "acc": 0.5}, step)
    return trial.params.x + 2  # type: ignore[no-any-return]


def run(objective: Any = train, **options: Any) -> sweep.SweepResult:
    options = {"name": "demo", "n_trials": 8, "space": {"x": {"min": 0.0, "max": 1.0}}, **options}
    return sweep.run(objective, inline=True, progress=False, **options)


def test_curves_are_a_table_in_long_form() -> None:
    curves = run(n_trials=2).curves()
    assert list(curves.columns) == ["trial", "repeat", "metric", "step", "value", "time"]
    assert len(curves) == 2 * 2 * 3
    assert isinstance(curves, pandas.DataFrame)
    wide = curves[curves["metric"] == "objective"].pivot(index="step", columns="trial", values="value")
    assert wide.shape == (3, 2)


def test_explain_returns_what_the_command_prints() -> None:
    result = run()
    expected = explain(SweepView.open("demo", Path("runs")))
    explanation = result.explain()
    assert explanation == expected
    shown = str(explanation)
    assert shown.splitlines()[0] == "demo (finished)"
    assert all(statement.text in shown for statement in explanation.statements)


def test_a_report_and_a_plot_are_made_of_the_sweep() -> None:
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    result = run()
    assert result.report("report.html") == Path("report.html")
    assert "demo" in Path("report.html").read_text()
    figure = result.plot("history")
    assert sorted(value for value in figure.data[0].y) == sorted(row.value for row in result.trials)
    assert result.plot("slice", params=["x"]).data
    with pytest.raises(InputError, match="nope: is not a kind of plot"):
        result.plot("nope")


@pytest.mark.parametrize("trials", [1, 8])
def test_a_notebook_shows_counts_and_the_best_trial_with_texts_escaped(trials: int) -> None:
    result = run(
        lambda trial: 1.0,
        space={"x": {"min": 0.0, "max": 1.0}, HOSTILE: {"values": [HOSTILE]}},
        n_trials=trials,
    )
    shown = result._repr_html_()
    assert f"{trials} complete" in shown
    assert "best: trial 0" in shown
    assert "&lt;script&gt;alert(1)" in shown
    for text in (shown, result.explain()._repr_html_()):
        assert "<script" not in text
        assert "\x1b" not in text


def test_a_sweep_of_failures_is_shown_too() -> None:
    def fail(trial: sweep.Trial) -> float:
        raise ValueError(HOSTILE)

    result = run(fail, n_trials=2)
    assert "2 failed" in result._repr_html_()
    assert "<script" not in result._repr_html_() + result.explain()._repr_html_()
    assert "\x1b" not in str(result.explain())
    assert result.curves().empty
