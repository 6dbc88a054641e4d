"""`sweep export`: what a program reads from the file is what the study has."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas
import pytest
from pandas.testing import assert_frame_equal

import sweep
from sweep.cli.app import app
from sweep.errors import InputError, SweepError
from sweep.rendering import extras
from tests.commands import call

pytestmark = pytest.mark.usefixtures("project")

HOSTILE = ["=1+2", "+cmd", "-x", "@sum", "\tt", "\rr", 'a,"b"\n<script>', "語 ' ;", "\x1b[31m"]
SPACE: dict[str, Any] = {
    "lr": {"min": 1e-9, "max": 1.0, "log": True},
    "layers": {"min": 1, "max": 9},
    "kind": {"values": ["a", "b"]},
    "mixed": {"values": ["auto", 2, 0.1, True, None]},
    "size/b": {"values": [[1, 2], [3]]},
    "extra": {"min": 0, "max": 5, "when": {"kind": "a"}},
    "epochs": 3,
}


def train(trial: sweep.Trial) -> float:
    if trial.number == 2:
        raise ValueError("=no\x1b")
    for step in range(2):
        trial.log({"objective": trial.params.lr / 3 + step, "val/acc": 1 / 3}, step)
        if trial.number == 3:
            raise sweep.TrialPruned
    trial.set_user_attr("note", "-1 + 1")
    return trial.params.lr / 3  # type: ignore[no-any-return]


def run(objective: Any = train, **options: Any) -> sweep.SweepResult:
    options = {
        "name": "demo",
        "n_trials": 12,
        "space": SPACE,
        "sampler": {"type": "random", "seed": 1},
        **options,
    }
    return sweep.run(objective, inline=True, progress=False, **options)


def export(*arguments: str) -> str:
    app(["export", "demo", *arguments], standalone_mode=False)
    return Path("out").read_bytes().decode() if Path("out").exists() else ""


def exported(*arguments: str) -> pandas.DataFrame:
    return pandas.read_csv(io.StringIO(export("-o", "out", *arguments)), float_precision="round_trip")


def read_back(table: pandas.DataFrame) -> pandas.DataFrame:
    """A table as pandas reads it from its own CSV."""
    return pandas.read_csv(io.StringIO(table.to_csv(index=False)), float_precision="round_trip")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_trials": 1},
        {"metrics": [{"name": name, "goal": "minimize"} for name in ("objective", "val/acc")]},
        {"repeats": 2},
        {"space": None},
    ],
    ids=["one goal", "one trial", "several goals", "repeats", "define-by-run"],
)
def test_the_csv_has_the_parameters_and_values_of_optunas_table(options: dict[str, Any]) -> None:
    def suggest(trial: sweep.Trial) -> float:
        x = trial.suggest_float("x", 1e-9, 1, log=True)
        return x if trial.suggest_categorical("on", [True, False]) else x + trial.suggest_int("n", 0, 3)

    def goals(trial: sweep.Trial) -> Any:
        return {"objective": trial.params.lr / 3, "val/acc": 1 / 3}

    objective = suggest if "space" in options else goals if "metrics" in options else train
    result = run(objective, **options)
    expected = read_back(result.study.trials_dataframe())
    names = [name for name in expected if not name.startswith(("user_attrs_", "system_attrs_"))]
    assert sum(name.startswith(("params_", "value")) for name in names) >= 2
    assert_frame_equal(exported()[names], expected[names], check_exact=True)


def test_the_csv_has_what_else_the_sweep_knows_of_a_trial() -> None:
    result = run()
    table = exported()
    assert list(table["params_epochs"]) == [3] * 12
    assert table["reason"][2] == "ValueError: =no\x1b"
    for row, shown in zip(result.trials, table.to_dict("records"), strict=True):
        assert shown["directory"] == str(row.directory)
        for name, value in row.metrics.items():
            assert shown[f"metrics_{name}"] == value
    assert list(table["state"])[1:4] == ["COMPLETE", "FAIL", "PRUNED"]


@pytest.mark.parametrize("command", [["export"], ["trials", "--format", "csv"]])
def test_a_spreadsheet_takes_no_text_for_a_formula(
    command: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def objective(trial: sweep.Trial) -> float:
        trial.set_user_attr("number", -0.5)
        return 1.0

    space = {"text": {"values": HOSTILE}, "number": {"values": [-0.5, -1]}}
    run(objective, space=space, n_trials=30, sampler="grid")
    app([command[0], "demo", *command[1:]], standalone_mode=False)
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    cells = [cell for row in rows for cell in row]
    texts = {text for text in HOSTILE if text[0] in "=+-@\t\r"}
    assert {f"'{text}" for text in texts} | (set(HOSTILE) - texts) <= set(cells)
    assert {"-0.5", "-1"} & set(cells)
    assert not [
        cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and cell not in ("-0.5", "-1", "-1.0")
    ]


def test_curves_are_exported_in_long_form() -> None:
    result = run(n_trials=3)
    table = exported("--curves")
    assert list(table.columns) == ["trial", "repeat", "metric", "step", "value", "time"]
    loss = table[(table["metric"] == "objective") & (table["trial"] == 1)]
    reports = result.study.trials[1].intermediate_values
    assert {
        step: value for step, value in zip(loss["step"], loss["value"], strict=True) if step in reports
    } == reports
    assert set(table[table["metric"] == "val/acc"]["trial"]) == {0, 1}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("t.xlsx", r"t\.xlsx: \.xlsx is not a format; write \.csv or"),
        ("none/t.csv", "none: no such folder; create it first"),
        ("none/t.parquet", "none: no such folder; create it first"),
        ("runs", "runs: is a folder; write runs/trials.csv"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(output: str, message: str) -> None:
    Path("runs").mkdir()
    with pytest.raises(InputError, match=f"^--output: {message}"):
        export("-o", output)
    assert not list(Path().glob("**/t.*"))


def test_json_has_the_rows_of_sweep_trials() -> None:
    result = run(n_trials=3)
    content = json.loads(export("--format", "json", "-o", "out"))
    assert content["version"] == 1
    assert content["goals"] == [{"name": "objective", "goal": "minimize"}]
    assert content["trials"] == json.loads(json.dumps([row.to_dict() for row in result.trials]))
    curves = json.loads(export("--curves", "--format", "json", "-o", "out"))["curves"]
    assert {"trial", "repeat", "metric", "step", "value", "time"} == set(curves[0])


def test_parquet_keeps_numbers_and_makes_texts_of_mixed_choices() -> None:
    pytest.importorskip("pyarrow")
    result = run(n_trials=20)
    app(["export", "demo", "-o", "t.parquet"], standalone_mode=False)
    table = pandas.read_parquet("t.parquet")
    expected = result.study.trials_dataframe()
    for name in ("value", "params_lr", "params_layers", "params_extra", "params_kind"):
        assert_frame_equal(table[[name]], expected[[name]], check_dtype=False)
    choices = [row.params["mixed"] for row in result.trials]
    assert [value for value in table["params_mixed"] if isinstance(value, str)] == [
        value if isinstance(value, str) else json.dumps(value) for value in choices if value is not None
    ]
    app(["export", "demo", "--curves", "-o", "c.parquet"], standalone_mode=False)
    assert len(pandas.read_parquet("c.parquet"))


def test_parquet_makes_texts_of_integers_that_do_not_fit_into_64_bits() -> None:
    pytest.importorskip("pyarrow")
    values = {"mixed": [-5, 2**64 - 1, 2**60 + 1], "huge": [10**400, 1, 2], "plain": [-(2**63), 0, 2**63 - 1]}

    def objective(trial: sweep.Trial) -> float:
        for name, given in values.items():
            trial.set_user_attr(name, given[trial.number])
        return 1.0

    run(objective, n_trials=3)
    app(["export", "demo", "-o", "t.parquet"], standalone_mode=False)
    table = pandas.read_parquet("t.parquet")
    assert list(table["user_attrs_mixed"]) == ["-5", str(2**64 - 1), str(2**60 + 1)]
    assert list(table["user_attrs_huge"]) == [str(10**400), "1", "2"]
    assert list(table["user_attrs_plain"]) == values["plain"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_integers_keep_all_digits_in_columns_with_gaps(suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    large, huge = 2**60 + 1, 10**30 + 1

    def objective(trial: sweep.Trial) -> float:
        if trial.number == 0:
            trial.set_user_attr("huge", huge)
        return 1.0

    extra = {"values": [large, 3], "when": {"kind": "a"}}
    points = [{"kind": "a", "extra": large}, {"kind": "b"}, {"kind": "a", "extra": 3}]
    run(objective, n_trials=3, space={"kind": {"values": ["a", "b"]}, "extra": extra}, enqueue=points)
    app(["export", "demo", "-o", f"t.{suffix}"], standalone_mode=False)
    if suffix == "csv":
        table = pandas.read_csv("t.csv", dtype=str, keep_default_na=False)
        assert list(table["params_extra"]) == [str(large), "", "3"]
        assert list(table["user_attrs_huge"]) == [str(huge), "", ""]
    else:
        table = pandas.read_parquet("t.parquet")
        assert list(table["params_extra"].dropna()) == [large, 3]
        assert list(table["user_attrs_huge"].dropna()) == [str(huge)]


def test_constants_have_columns_even_if_all_parameters_are_constant() -> None:
    run(lambda trial: 1.0, n_trials=2, space={"epochs": 3, "kind": "a"})
    table = exported()
    assert list(table["params_epochs"]) == [3, 3]
    assert list(table["params_kind"]) == ["a", "a"]


def test_a_file_is_replaced_only_by_a_complete_one(monkeypatch: pytest.MonkeyPatch) -> None:
    run(n_trials=1)
    Path("t.parquet").write_text("before")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_parquet", fail)
    with pytest.raises(OSError, match="No space"):
        app(["export", "demo", "-o", "t.parquet"], standalone_mode=False)
    assert Path("t.parquet").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["runs", "t.parquet"]


def test_parquet_needs_a_file_and_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    run(n_trials=1)
    with pytest.raises(InputError, match=r"--format parquet: .*-o trials.parquet"):
        export("--format", "parquet")

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    with pytest.raises(
        SweepError, match=r"^Parquet: pyarrow is not installed.*pip install 'sweep-hpo\[analysis\]'"
    ):
        export("-o", "t.parquet")


def test_values_that_are_not_finite_stay_numbers() -> None:
    def objective(trial: sweep.Trial) -> float:
        trial.log({"grad": math.inf, "loss": math.nan}, 0)
        return math.inf

    run(objective, n_trials=1)
    table = exported()
    assert table["value"][0] == math.inf


@pytest.mark.process
def test_a_sweep_without_trials_has_a_header_only() -> None:
    run(n_trials=1)
    Path("runs/demo/journal.log").unlink()
    Path("runs/demo/.snapshot").unlink()
    assert call("export", "demo").stdout == "number,state\n"
    assert call("export", "demo", "--curves").stdout == "trial,repeat,metric,step,value,time\n"
    assert json.loads(call("export", "demo", "--format", "json").stdout)["trials"] == []
    assert "there is no such sweep" in call("export", "nope", status=2).stderr
