"""`sweep plot`: Optuna's plots with the sweep's own parameters, learning curves and slots."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from typer import Exit

import sweep
from sweep.analysis.view import SweepView
from sweep.cli.app import app
from sweep.errors import InputError, SweepError
from sweep.rendering import optuna_plots
from sweep.rendering.plot_data import NothingToPlot
from sweep.rendering.plots import KINDS, figure
from sweep.space import SearchSpace
from sweep.study.journal import Journal
from sweep.study.storage import IndexedJournalStorage
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from tests.commands import call
from tests.conftest import MakeSweep
from tests.odd_sweeps import FINISHED, make_finished

PARAMETERS: dict[str, Any] = {
    "lr": {"min": 1e-5, "max": 1.0, "log": True},
    "kind": {"values": ["a", "b"]},
    "momentum": {"min": 0.0, "max": 0.9, "when": {"kind": "a"}},
    "sizes": {"values": [[8, 8], [16], None], "probabilities": [1, 2, 1]},
    "decay": {"distribution": "log_normal", "mu": -3.0, "sigma": 1.0},
    "seed": 3,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = make_finished(tmp_path_factory.mktemp("sweeps"))
    store(runs, "demo", 40, 5)
    store(runs, "many", 3000, 60)
    return runs


def store(runs: Path, name: str, count: int, steps: int) -> None:
    """Store a sweep with all kinds of parameters, whose trials were not run."""
    directory = SweepDirectory.of(runs, name)
    directory.root.mkdir()
    spec = SweepSpec.model_validate(
        {
            "name": name,
            "objective": "a.py:f",
            "metric": {"name": "val/loss", "goal": "maximize"},
            "parameters": PARAMETERS,
            "stop": {"trials": count},
        }
    )
    directory.spec.write_text(spec.to_yaml())
    storage = IndexedJournalStorage(journal := Journal(directory.journal), directory.snapshot)
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    rng, space = random.Random(1), SearchSpace.of(spec)
    with journal.batch():
        for number in range(count):
            sampled: dict[str, Any] = {}

            def sample(variable: Any, sampled: dict[str, Any] = sampled) -> Any:
                kind = variable.distribution
                if isinstance(kind, optuna.distributions.CategoricalDistribution):
                    value = rng.choice(kind.choices)
                else:
                    value = rng.uniform(kind.low, kind.high)
                return sampled.setdefault(variable.key, value)

            params = space.walk(sample)
            value = -math.log10(params["lr"]) + rng.random()
            state = TrialState.FAIL if number % 10 == 9 else TrialState.COMPLETE
            study.add_trial(
                create_trial(
                    state=state,
                    value=value if state == TrialState.COMPLETE else None,
                    params=sampled,
                    distributions={key: space.distributions[key] for key in sampled},
                    intermediate_values={step: value - 1 / (step + 1) for step in range(steps)},
                )
            )


@pytest.fixture
def view(runs: Path) -> SweepView:
    return SweepView.open("demo", runs)


def test_every_plot_of_the_installed_optuna_has_a_kind() -> None:
    functions = {name for name in optuna.visualization.__all__ if name.startswith("plot_")}
    assert {"plot_" + kind.replace("-", "_") for kind in KINDS} == functions | {"plot_curves", "plot_slots"}


def draw(view: SweepView, kind: str) -> Any:
    """A figure, or the error that says why there is none."""
    try:
        return figure(view, kind)
    except SweepError as error:
        return error


@pytest.mark.parametrize("name", [*FINISHED, "demo"])
def test_each_plot_is_drawn_or_says_in_a_sentence_why_not(
    runs: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(optuna_plots, "MAX_FITS", 4)
    view = SweepView.open(name, runs)
    outcomes = {kind: draw(view, kind) for kind in KINDS}
    drawn = {kind for kind, outcome in outcomes.items() if not isinstance(outcome, SweepError)}
    for kind, outcome in outcomes.items():
        if kind in drawn:
            assert "<script>" not in outcome.to_json()
        else:
            assert str(outcome).startswith(f"{kind}: ")
            assert "\n" not in str(outcome)
            is_misfit = kind in ("pareto-front", "hypervolume-history") and name != "goals"
            assert isinstance(outcome, InputError if is_misfit else NothingToPlot)
    if name in ("usual", "demo", "hostile", "repeats"):
        assert len(drawn) == len(KINDS) - 2  # those of several goals
    if name == "goals":
        assert {"pareto-front", "hypervolume-history"} < drawn
    assert capfd.readouterr() == ("", "")


def test_plots_show_the_parameters_of_the_sweep_and_not_what_optuna_samples(view: SweepView) -> None:
    drawn = figure(view, "slice")
    complete = [trial for trial in view.frozen_trials if trial.state == TrialState.COMPLETE]
    axes = {axis.title.text: trace for axis, trace in zip(drawn.select_xaxes(), drawn.data, strict=True)}
    assert list(axes) == sorted(set(PARAMETERS) - {"seed"})
    for name in ("lr", "decay", "momentum"):
        values = [view.params(trial)[name] for trial in complete if name in view.params(trial)]
        assert list(axes[name].x) == values
    assert set(axes["sizes"].x) == {"'[8, 8]'", "'[16]'", "'null'"}
    assert list(axes["lr"].y) == [trial.value for trial in complete]
    scales = {axis.title.text: axis.type for axis in drawn.select_xaxes()}
    assert scales["lr"] == scales["decay"] == "log"


def test_history_has_the_direction_and_the_name_of_the_metric(view: SweepView, runs: Path) -> None:
    values, best, _ = figure(view, "history").data
    assert values.name == "val/loss"
    assert best.y[-1] == max(values.y)
    goals = SweepView.open("goals", runs)
    for metric, pick in (("cost", min), ("accuracy", max)):
        values, best, _ = figure(goals, "history", metric=metric).data
        assert values.name == metric
        assert best.y[-1] == pick(values.y)
    assert "choose accuracy with --metric" in figure(goals, "history").layout.title.text


def test_importances_are_those_of_the_study(view: SweepView) -> None:
    assert view.study is not None
    expected = optuna.importance.get_param_importances(view.study)
    (bars,) = figure(view, "importances").data
    shown = dict(zip(bars.y, bars.x, strict=True))
    assert shown == pytest.approx({name.removesuffix(":u"): value for name, value in expected.items()})


def test_large_sweeps_are_thinned_and_the_best_trials_stay(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_plots, "MAX_FITS", 4)
    many = SweepView.open("many", runs)
    assert many.best is not None
    for kind in KINDS:
        with suppress(InputError):
            drawn = figure(many, kind)
            assert len(drawn.to_json()) < 3_000_000, kind
            assert len(drawn.data) < 400, kind
    assert f"trial {many.best.number}, the best" in {trace.name for trace in figure(many, "curves").data}
    assert "trials: the best and a sample of the others" in figure(many, "contour").layout.title.text


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("slices", {}, r"slices: is not a kind of plot; did you mean 'slice'\?"),
        ("slice", {"params": ["momentun"]}, r"--params: momentun: .*; did you mean 'momentum'\?"),
        ("slice", {"params": ["seed"]}, "--params: seed: is not a parameter that demo varies"),
        ("contour", {"params": ["lr"]}, "--params: contour needs two parameters"),
        ("edf", {"params": ["lr"]}, "--params: edf does not show chosen parameters"),
        ("history", {"metric": "val/los"}, r"--metric: val/los: .*; did you mean 'val/loss'\?"),
        ("timeline", {"metric": "val/loss"}, "--metric: timeline does not show a chosen metric"),
        ("pareto-front", {}, "pareto-front: shows several goals, and demo has one, val/loss"),
    ],
)
def test_what_does_not_fit_the_sweep_is_one_error(
    view: SweepView, kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        figure(view, kind, **options)


def test_chosen_parameters_are_the_only_ones(view: SweepView) -> None:
    drawn = figure(view, "contour", params=["momentum", "lr"])
    assert [drawn.layout.xaxis.title.text, drawn.layout.yaxis.title.text] == ["lr", "momentum"]


Plot = Callable[..., str]


@pytest.fixture
def plot(runs: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> Plot:
    """Runs the command in an empty folder; returns what it prints."""

    def run(*arguments: str) -> str:
        with suppress(Exit):
            app(["plot", *arguments, "--runs", str(runs)], standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_a_page_is_complete_and_shows_names_as_texts(plot: Plot, project: Path) -> None:
    assert plot("slice", "hostile", "-o", "page.html") == "wrote page.html\n"
    page = (project / "page.html").read_text(encoding="utf-8")
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert 'src="http' not in page
    assert "<b>loss" not in page
    assert 5_000_000 > len(page) > 3_000_000
    plot("slice", "hostile", "-o", "figure.json")
    assert json.loads((project / "figure.json").read_text())["layout"]["yaxis"]["title"]["text"] == (
        "&lt;b&gt;loss&lt;/b&gt; | `x`"
    )


def test_without_a_file_a_browser_is_opened_if_there_is_one(
    plot: Plot, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("tempfile.tempdir", str(project))
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    output = plot("history", "usual")
    (page,) = project.iterdir()
    assert (
        output
        == f"wrote {page}; there is no browser here: open it in one, or write it elsewhere with -o FILE\n"
    )
    monkeypatch.setenv("BROWSER", "firefox")
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) is None)
    assert plot("history", "usual") == f"opened {opened[0].removeprefix('file://')}\n"
    assert len(list(project.iterdir())) == 2


@pytest.mark.parametrize("kind", ["slice", "parallel-coordinate", "contour", "importances"])
def test_a_sweep_with_constants_only_has_nothing_to_plot(kind: str, make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial):\n    return 1.0", parameters={"x": 3}, stop={"trials": 1})
    sweep.run(file, inline=True)
    with pytest.raises(NothingToPlot, match="demo varies no parameter"):
        figure(SweepView.open("demo", Path("runs")), kind)


def test_nothing_to_plot_is_a_sentence_and_no_file(plot: Plot, project: Path) -> None:
    assert plot("history", "empty", "-o", "x.html") == "optimization-history: empty has no trial yet\n"
    assert plot("contour", "failed") == "contour: failed has no complete trial with a finite value\n"
    with pytest.raises(InputError, match=r"--output: x.gif: .*; possible: html, png, svg, pdf, json"):
        plot("history", "usual", "-o", "x.gif")
    with pytest.raises(InputError, match="--output: nowhere: no such folder"):
        plot("history", "usual", "-o", "nowhere/x.html")
    assert list(project.iterdir()) == []


def test_what_is_not_installed_is_said(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(SweepError, match=r"pip install 'sweep-hpo\[analysis\]'"):
        plot("history", "usual")


@pytest.mark.process
def test_images_are_drawn_by_a_browser_of_this_machine(runs: Path, project: Path) -> None:
    call("plot", "slice", "demo", "-o", "slice.png", "--runs", runs)
    assert (project / "slice.png").read_bytes().startswith(b"\x89PNG")
    nowhere = {"PATH": str(project), "BROWSER_PATH": str(project / "none")}
    error = call("plot", "slice", "demo", "-o", "slice.svg", "--runs", runs, status=1, env=nowhere).stderr
    assert error.startswith("error: an image (.svg) needs Chromium or Chrome")
    assert error.count("\n") == 1
