"""The report is one file that contains what the study has, as data and text."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.analysis.importance import importances
from sweep.analysis.metric_model import MetricModel
from sweep.analysis.view import SweepView
from sweep.errors import SweepError
from sweep.rendering.html import embedded_json, write_report
from sweep.rendering.sections import best_side_by_side
from sweep.sweepfile import load_spec
from tests.commands import call
from tests.conftest import MakeSweep
from tests.odd_sweeps import HOSTILE
from tests.rendering.synthetic import make_large


def data_of(page: str) -> list[dict[str, Any]]:
    """The JSON of each sweep in a report."""
    return [
        json.loads(text) for text in re.findall(r'<script type="application/json" class="data">(.*?)<', page)
    ]


def cells(data: dict[str, Any], key: str) -> list[Any]:
    column = next(column for column in data["columns"] if column["key"] == key)
    if column["kind"] == "number":
        return list(column["values"])
    return [None if index is None else column["choices"][index] for index in column["values"]]


@pytest.fixture
def view(tmp_path: Path) -> SweepView:
    return SweepView(make_large(tmp_path / "runs", "synthetic", 80))


def report(path: Path, *views: SweepView) -> str:
    write_report(views, path)
    return path.read_text(encoding="utf-8")


def test_its_numbers_are_those_of_the_study(view: SweepView, tmp_path: Path) -> None:
    (data,) = data_of(report(tmp_path / "r.html", view))
    trials = view.frozen_trials
    assert cells(data, "number") == [trial.number for trial in trials]
    assert cells(data, "state") == [trial.state.name for trial in trials]
    assert cells(data, "goal:0") == [trial.values[0] if trial.values else None for trial in trials]
    for name in ("lr", "width", "dropout", "optimizer"):
        assert cells(data, f"param:{name}") == [trial.params[name] for trial in trials]
    assert cells(data, "param:batch_size") == [str(trial.params["batch_size"]) for trial in trials]
    curves = data["curves"]
    for number, place, values in zip(curves["trials"], curves["list"], curves["values"], strict=True):
        reported = sorted(trials[number].intermediate_values.items())
        assert curves["steps"][place][: len(values)] == [step for step, _ in reported]
        assert values == pytest.approx([value for _, value in reported], rel=1e-5)
    progress = data["progress"][0]
    assert (progress["trials"][-1], progress["values"][-1]) == (data["best"][0], view.front[0].values[0])
    seconds = sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)
    assert progress["end"] == pytest.approx(seconds / 3600, abs=1e-4)
    assert data["timeline"]["trials"] == sorted(
        range(80), key=lambda number: (trials[number].datetime_start, number)
    )


def test_a_log_parameter_and_the_order_of_choices_are_known(view: SweepView, tmp_path: Path) -> None:
    (data,) = data_of(report(tmp_path / "r.html", view))
    columns = {column["title"]: column for column in data["columns"]}
    assert [columns[name]["log"] for name in ("lr", "width", "dropout")] == [True, True, False]
    assert columns["batch_size"]["choices"] == ["16", "32", "64", "128"]


def test_failures_are_grouped_by_what_their_reasons_have_in_common(view: SweepView, tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", view)
    failed = [trial for trial in view.frozen_trials if trial.state.name == "FAIL"]
    (marked,) = re.findall(r'data-mark="([\d ]+)"', page)
    assert marked.split() == [str(trial.number) for trial in failed]
    assert "RuntimeError: out of memory at width" in page


def test_no_text_of_a_sweep_is_markup(make_sweep: MakeSweep, tmp_path: Path) -> None:
    code = f"""
        def train(trial):
            trial.set_user_attr("<u>", {HOSTILE!r})
            raise ValueError({HOSTILE!r} + "</script><!-- \\u2028")
    """
    file = make_sweep(code, parameters={"<s>x</s>": {"min": 0, "max": 1}}, stop={"trials": 2})
    sweep.run(file, inline=True)
    page = report(tmp_path / "r.html", SweepView.open("demo", Path("runs")))
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    for tag in ("<script>alert", "<u>", "<s>", "</script><!--"):
        assert tag not in body
    assert "\u2028" not in embedded_json("\u2028")
    (data,) = data_of(page)
    assert HOSTILE in cells(data, "attribute:<u>")


def test_infinity_and_nan_are_valid_json(make_sweep: MakeSweep, tmp_path: Path) -> None:
    code = """
        def train(trial):
            trial.report(float("nan"), 0)
            trial.report(float("inf"), 1)
            return float("inf") if trial.number else float("-inf")
    """
    sweep.run(make_sweep(code, stop={"trials": 2}), inline=True)
    page = report(tmp_path / "r.html", SweepView.open("demo", Path("runs")))
    (data,) = data_of(page)
    assert cells(data, "goal:0") == ["-Infinity", "Infinity"]
    assert data["curves"]["values"] == [[None, "Infinity"]] * 2


def test_choices_are_the_same_only_if_their_values_are(make_sweep: MakeSweep, tmp_path: Path) -> None:
    code = """
        def train(trial):
            return len(repr(trial.params.kind)) + trial.params.ema
    """
    kinds, emas = [None, "None", True, "True"], [0.9999, 0.99995, 0.99999]
    space = {"kind": {"values": kinds}, "ema": {"values": emas}}
    trials = sweep.run(make_sweep(code, parameters=space, stop={"trials": 60}), inline=True).trials
    (data,) = data_of(report(tmp_path / "r.html", SweepView.open("demo", Path("runs"))))
    assert cells(data, "param:ema") == [str(trial.params["ema"]) for trial in trials]
    assert cells(data, "param:kind") == [repr(trial.params["kind"]) for trial in trials]
    choices = ["None", "'None'", "True", "'True'"]
    assert next(one for one in data["columns"] if one["key"] == "param:kind")["choices"] == choices
    assert data["parameters"][0]["curves"]["kind"]["x"] == choices


def test_the_best_parameters_of_several_sweeps_differ_if_their_values_do(make_sweep: MakeSweep) -> None:
    values = {"first": [None, 0.123456789012345, 1], "second": ["None", 0.123412341234123, 1.0]}
    for name, given in values.items():
        space = dict(zip("abc", ({"values": [value]} for value in given), strict=True))
        sweep.run(make_sweep("def train(trial): return 1.0", name, parameters=space), inline=True, n_trials=1)
    views = [SweepView.open(name, Path("runs")) for name in values]
    assert best_side_by_side(views) == [
        ("a", ["None", "'None'"], True),
        ("b", ["0.1235", "0.1234"], True),
        ("c", ["1", "1"], False),
    ]


def test_integers_that_a_browser_would_round_are_texts(make_sweep: MakeSweep, tmp_path: Path) -> None:
    code = """
        def train(trial):
            trial.set_user_attr("huge", 10**400 + trial.number)
            trial.set_user_attr("large", 2**53 + trial.number)
            trial.set_user_attr("usual", trial.number)
            return 1.0
    """
    sweep.run(make_sweep(code, stop={"trials": 2}), inline=True)
    (data,) = data_of(report(tmp_path / "r.html", SweepView.open("demo", Path("runs"))))
    assert cells(data, "attribute:huge") == [str(10**400), str(10**400 + 1)]
    assert cells(data, "attribute:large") == [str(2**53), str(2**53 + 1)]
    assert cells(data, "attribute:usual") == [0, 1]


def test_it_allows_only_its_own_scripts_and_no_network(view: SweepView, tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", view)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", outside)


def test_it_says_how_to_reproduce_the_sweep(make_sweep: MakeSweep, tmp_path: Path) -> None:
    sweep.run(make_sweep("def train(trial): return trial.params.x"), inline=True)
    view = SweepView.open("demo", Path("runs"))
    page = report(tmp_path / "r.html", view)
    text = re.sub(r"<[^>]*>", "", page.split("How to reproduce")[1])
    assert "sweep.run(&#39;" in text
    assert "sampler: {type: random, seed: 1}" in text or "type: random" in text
    assert "optuna==" in text
    assert str(view.directory.root) in text


def test_the_numbers_over_parameters_are_those_of_the_analysis(view: SweepView, tmp_path: Path) -> None:
    (data,) = data_of(report(tmp_path / "r.html", view))
    (found,) = data["parameters"]
    model = MetricModel(view)
    assert {one["parameter"]: one["methods"]["fANOVA"]["value"] for one in found["importance"]} == {
        one.name: pytest.approx(one.share, rel=1e-5) for one in importances(model)
    }
    curve = found["curves"]["lr"]
    assert curve["x"][0] < curve["x"][-1]
    assert all(
        low <= mean <= high for low, mean, high in zip(curve["low"], curve["y"], curve["high"], strict=True)
    )
    assert found["curves"]["optimizer"]["x"] == ["sgd", "adamw", "lion"]
    assert found["ablation"]["start"] == "the defaults"
    assert found["ablation"]["steps"][0]["label"] == "the defaults"


def test_the_next_sweep_file_can_be_run(view: SweepView, tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", view)
    (text,) = re.findall(r"<span>synthetic-next.yaml</span>.*?<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    file = tmp_path / "next.yaml"
    file.write_text(html.unescape(text))
    spec = load_spec(file)
    assert spec.name == "synthetic-next"
    assert set(spec.parameters) == set(view.spec.parameters)
    assert spec.parameters != view.spec.parameters


def test_long_curves_are_thinned_and_the_file_says_so(tmp_path: Path) -> None:
    view = SweepView(make_large(tmp_path / "runs", "long", 100, steps=2000))
    (data,) = data_of(report(tmp_path / "r.html", view))
    curves = data["curves"]
    assert curves["thinned"]
    assert sum(map(len, curves["values"])) <= 120_000
    longest = max(range(len(curves["values"])), key=lambda k: len(curves["values"][k]))
    assert curves["steps"][curves["list"][longest]][0] == 0
    assert curves["steps"][curves["list"][longest]][len(curves["values"][longest]) - 1] == 1999


@pytest.mark.process
def test_the_command_names_the_file_that_it_has_written(make_sweep: MakeSweep) -> None:
    sweep.run(make_sweep("def train(trial): return trial.params.x"), inline=True)
    assert call("report", "demo").stdout.startswith("demo-report.html: 1.")
    assert call("report", "demo", "runs/demo", "-o", "r.html").stdout.startswith("r.html: 1.")
    assert len(data_of(Path("r.html").read_text())) == 1
    missing = call("report", "demo", "other", status=2)
    assert "other: there is no such sweep" in missing.stderr
    assert "is a directory" in call("report", "demo", "-o", ".", status=2).stderr
    assert "there is no directory" in call("report", "demo", "-o", "a/b.html", status=2).stderr


def test_without_jinja_one_line_says_what_to_install(
    view: SweepView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SweepError, match=r"pip install 'sweep-hpo\[analysis\]'"):
        write_report([view], tmp_path / "r.html")
