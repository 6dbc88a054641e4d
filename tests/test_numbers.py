"""Every number that a command, the report or TensorBoard shows is that of Optuna's study."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import random
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas
import pytest
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sweep
from sweep.rendering.html import write_report
from tests import odd_sweeps
from tests.commands import call_here
from tests.tensorboard_client import hparams, metrics, status, tensorboard

METRIC = "val/loss"
_OBJECTIVE = """
    import optuna, time

    def train(trial):
        time.sleep(0.03)
        p = trial.params
        if p.optimizer == "lion":
            raise ValueError(f"diverged at {p.lr}")
        loss = abs(p.lr - 0.01) * 10 + p.get("momentum", 0.5) ** 2 / 7
        for step in range(5):
            value = loss + abs(step - 3) / 20
            trial.report(value, step)
            if step == 2 and loss > 0.3:
                raise optuna.TrialPruned
        trial.log({"accuracy": 1 - value}, step=4)
        return value
"""
_KEYS = {
    "parameters": {
        "lr": {"min": 1e-4, "max": 1e-1, "log": True},
        "optimizer": {"values": ["sgd", "adam", "lion"]},
        "momentum": {"min": 0.0, "max": 0.99, "when": {"optimizer": "sgd"}},
        "layers": {"min": 1, "max": 6},
    },
    "stop": {"trials": 60},
}


@dataclass(frozen=True)
class Sweep:
    """A sweep, and its trials as plain Optuna reads them from the journal."""

    runs: Path
    study: optuna.Study

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def complete(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state == TrialState.COMPLETE]

    def json(self, *arguments: str) -> Any:
        return json.loads(call_here(*arguments, "--runs", self.runs).stdout)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("numbers")
    file = odd_sweeps.write(folder, "numbers", _OBJECTIVE, _KEYS)
    sweep.run(file, inline=True, runs=folder / "runs", progress=False)
    storage = JournalStorage(JournalFileBackend(str(folder / "runs" / "numbers" / "journal.log")))
    study = optuna.load_study(study_name="numbers", storage=storage)
    states = {trial.state for trial in study.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    return Sweep(folder / "runs", study)


def _last(trial: FrozenTrial) -> float | None:
    return trial.value if trial.state != TrialState.FAIL else None


def _check_record(record: dict[str, Any], trial: FrozenTrial) -> None:
    """Check a trial as `sweep trials --json` and `sweep compare --json` print it."""
    assert record["number"] == trial.number
    assert record["state"] == trial.state.name
    assert record["params"] == trial.params
    assert record["value"] == _last(trial)
    if trial.state == TrialState.COMPLETE:
        best = min(*trial.intermediate_values.values(), trial.value)
        accuracy = 1 - trial.value
        shown = {METRIC: trial.value, f"best/{METRIC}": best, "accuracy": pytest.approx(accuracy, rel=1e-6)}
        assert {key: record["metrics"][key] for key in shown} == shown


@pytest.mark.process
def test_every_number_that_is_shown_is_that_of_the_study(finished: Sweep, tmp_path: Path) -> None:
    checks = (_status, _trials, _compare, _export, _curves, _explanation, _importance, _result, _tensorboard)
    for check in checks:
        check(finished)
    _report(finished, tmp_path / "report.html")
    _root_run(finished)


def _status(shown: Sweep) -> None:
    record = shown.json("status", "numbers", "--json")
    for state, name in {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.items():
        assert record["counts"][name] == sum(trial.state.name == state for trial in shown.trials)
    best = {key: record["best"][key] for key in ("number", "value", "params")}
    assert best == {
        "number": shown.study.best_trial.number,
        "value": shown.study.best_value,
        "params": shown.study.best_params,
    }
    assert shown.json("best", "numbers", "--format", "json") == shown.study.best_params


def _trials(shown: Sweep) -> None:
    for record, trial in zip(shown.json("trials", "numbers", "--json"), shown.trials, strict=True):
        _check_record(record, trial)
    table = list(
        csv.DictReader(
            io.StringIO(call_here("trials", "numbers", "--format", "csv", "--runs", shown.runs).stdout)
        )
    )
    for row, trial in zip(table, shown.trials, strict=True):
        assert float(row["params.lr"]) == trial.params["lr"]
        assert row["value"] == ("" if _last(trial) is None else repr(_last(trial)))


def _compare(shown: Sweep) -> None:
    found = shown.json(
        "compare", "numbers", "--where", "number >= 0", "--sort", "value", "-n", "60", "--json"
    )
    assert len(found["trials"]) == len(shown.trials)
    for record in found["trials"]:
        _check_record(record, shown.trials[record["number"]])
    complete = [record["value"] for record in found["trials"] if record["state"] == "COMPLETE"]
    assert complete == sorted(trial.value for trial in shown.complete())


def _export(shown: Sweep) -> None:
    text = call_here("export", "numbers", "--format", "csv", "--runs", shown.runs).stdout
    ours, theirs = pandas.read_csv(io.StringIO(text)), shown.study.trials_dataframe()
    for column in ["number", "value", "state", *(name for name in theirs if name.startswith("params_"))]:
        assert [_plain(value) for value in ours[column]] == [_plain(value) for value in theirs[column]], (
            column
        )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _curves(shown: Sweep) -> None:
    text = call_here("export", "numbers", "--format", "csv", "--curves", "--runs", shown.runs).stdout
    table = pandas.read_csv(io.StringIO(text))
    for trial in shown.trials:
        rows = table[(table["trial"] == trial.number) & (table["metric"] == METRIC)]
        curve = dict(zip(rows["step"], rows["value"], strict=True))
        for step, value in trial.intermediate_values.items():
            assert curve[step] == pytest.approx(value, rel=1e-6)  # TensorBoard stores 32 bits


def _explanation(shown: Sweep) -> None:
    statements = shown.json("explain", "numbers", "--json")["statements"]
    best = next(entry for entry in statements if entry["key"] == "best")
    assert best["data"]["number"] == shown.study.best_trial.number
    assert best["data"]["value"] == shown.study.best_value
    failed = sum(trial.state == TrialState.FAIL for trial in shown.trials)
    assert any(f"{failed} of {len(shown.trials)} trials failed" in entry["text"] for entry in statements)
    seconds = sum((trial.datetime_complete - trial.datetime_start).total_seconds() for trial in shown.trials)
    cost = next(entry for entry in statements if entry["key"] == "cost")
    assert cost["data"]["slot_hours"] == pytest.approx(
        seconds / 3600, rel=0.25
    )  # Optuna's times include the storage


def _importance(shown: Sweep) -> None:
    [metric] = shown.json("importance", "numbers", "--json")["metrics"]
    assert (metric["metric"], metric["complete"]) == (METRIC, len(shown.complete()))
    assert metric["is_enough"]
    found = {one["name"]: one for one in metric["parameters"]}
    assert found.keys() == set(_KEYS["parameters"])
    assert [*found] == sorted(found, key=lambda name: -found[name]["total"])
    for one in found.values():
        assert 0 <= one["low"] <= one["share"] <= one["high"] <= 1
        assert one["total_low"] <= one["total"] <= one["total_high"] <= 1
        assert one["share"] <= one["total"]
        assert one["matters"] == (one["total"] >= 0.03 and (one["evidence"] or math.inf) >= 4)
        assert 0 <= one["ped_low"] <= one["ped_anova"] <= one["ped_high"] <= 1
    truth = _true_shares(10_000)
    assert found["lr"]["share"] == pytest.approx(truth["lr"], abs=0.1)
    assert {name for name in found if found[name]["matters"]} <= {
        name for name in truth if truth[name] > 0.01
    }
    theirs = PedAnovaImportanceEvaluator().evaluate(shown.study, params=["lr", "optimizer", "layers"])
    ours = {name: found[name]["ped_anova"] for name in theirs}
    whole, part = sum(theirs.values()), sum(ours.values())
    assert ours == pytest.approx({name: part * value / whole for name, value in theirs.items()})
    assert part + found["momentum"]["ped_anova"] == pytest.approx(1)
    for option, key in ((), "share"), (("--evaluator", "ped-anova"), "ped_anova"):
        printed = call_here("importance", "numbers", *option, "--runs", shown.runs).stdout.splitlines()[2:]
        table = {name: float(value) for name, value, *_ in map(str.split, printed)}
        assert table == {name: float(f"{one[key]:.3f}") for name, one in found.items()}
    said = {
        entry["data"]["name"]: entry["data"]
        for entry in shown.json("explain", "numbers", "--json")["statements"]
        if entry["key"] == "importance"
    }
    assert said.keys() == {name for name, one in found.items() if one["matters"]}
    for name, data in said.items():
        for key in ("share", "low", "high", "total", "ped_anova", "ped_low", "ped_high"):
            assert data[key] == found[name][key]


def _true_shares(count: int) -> dict[str, float]:
    """The shares of the parameters in the variation of the objective over the space, without its failures."""
    generator = random.Random(0)

    def values(fixed: dict[str, Any]) -> float:
        lr = fixed.get("lr", 10 ** generator.uniform(-4, -1))
        momentum = fixed.get("momentum", generator.uniform(0, 0.99))
        is_sgd = fixed.get("optimizer", generator.choice(["sgd", "adam"])) == "sgd"
        return float(abs(lr - 0.01) * 10 + (momentum if is_sgd else 0.5) ** 2 / 7)

    whole = statistics.variance(values({}) for _ in range(count))
    grids = {
        "lr": [10 ** (-4 + 3 * (index + 0.5) / 50) for index in range(50)],
        "momentum": [0.99 * (index + 0.5) / 50 for index in range(50)],
        "optimizer": ["sgd", "adam"],
        "layers": [1],
    }
    means = {
        name: [statistics.fmean(values({name: value}) for _ in range(count // 20)) for value in grid]
        for name, grid in grids.items()
    }
    return {name: statistics.pvariance(values) / whole for name, values in means.items()}


def _result(shown: Sweep) -> None:
    result = sweep.load("numbers", runs=shown.runs)
    assert result.best_value == shown.study.best_value
    frame = result.curves()
    assert set(frame["trial"]) == {trial.number for trial in shown.trials if trial.intermediate_values}


def _report(shown: Sweep, file: Path) -> None:
    write_report([sweep.load("numbers", runs=shown.runs)._view], file)
    [text] = re.findall(
        r'<script type="application/json" class="data">(.*?)</script>', file.read_text("utf-8")
    )
    data = json.loads(text)
    columns = {column["key"]: _cells(column) for column in data["columns"]}
    assert columns["number"] == [trial.number for trial in shown.trials]
    assert columns["state"] == [trial.state.name for trial in shown.trials]
    assert columns["goal:0"] == [_last(trial) for trial in shown.trials]
    for name in ("lr", "layers", "momentum"):
        assert columns[f"param:{name}"] == [trial.params.get(name) for trial in shown.trials]
    assert columns["param:optimizer"] == [trial.params["optimizer"] for trial in shown.trials]
    assert data["best"] == [shown.study.best_trial.number]
    _ablation(data, shown)
    assert data["progress"][0]["values"][-1] == shown.study.best_value
    assert f"{shown.study.best_value:.6g}" in file.read_text("utf-8")


def _cells(column: dict[str, Any]) -> list[Any]:
    values = column["values"]
    if column["kind"] != "choice":
        return list(values)
    return [None if index is None or index < 0 else column["choices"][index] for index in values]


def _ablation(data: dict[str, Any], shown: Sweep) -> None:
    """Check the path from the median trial to the best one: both ends, and what changes between them."""
    ablation = data["parameters"][0]["ablation"]
    assert ablation["start"] == "the median trial", "the file has no defaults"
    ordered = sorted(shown.complete(), key=lambda trial: trial.value)
    start, best = ordered[len(ordered) // 2].params, ordered[0].params
    changes = [step["label"].split(": ", 1) for step in ablation["steps"][1:]]
    changed = {name: tuple(values.split(" → ")) for name, values in changes}
    assert len(changed) == len(changes)
    assert changed == {
        name: (_shown_parameter(start.get(name)), _shown_parameter(best.get(name)))
        for name in start | best
        if start.get(name) != best.get(name)
    }
    for step in ablation["steps"]:
        assert step["low"] <= step["value"] <= step["high"]
    statements = shown.json("explain", "numbers", "--json")["statements"]
    end, said = ablation["steps"][-1], next(entry["data"] for entry in statements if entry["key"] == "best")
    assert end["value"] == pytest.approx(said["estimate"], rel=1e-5)


def _shown_parameter(value: Any) -> str:
    return "not set" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _tensorboard(shown: Sweep) -> None:
    """Check the table of hyperparameters, and the text of each trial, as a real TensorBoard serves them."""
    records = {record["number"]: record for record in shown.json("trials", "numbers", "--json")}
    with tensorboard(shown.runs / "numbers") as board:
        rows = {row["name"]: row for row in board.wait_for_rows(len(shown.trials))}
        texts = {trial.number: board.texts(f"trial-{trial.number:04d}", "trial") for trial in shown.trials}
    for trial in shown.trials:
        row, record = rows.pop(f"numbers/t{trial.number:04d}"), records[trial.number]
        assert hparams(row) == trial.params
        assert status(row) == ("STATUS_FAILURE" if trial.state == TrialState.FAIL else "STATUS_SUCCESS")
        values = metrics(row)
        assert values.pop("time/hours") == pytest.approx(record["duration_s"] / 3600, rel=1e-3, abs=3e-7)
        expected = {}
        if reports := [*trial.intermediate_values.values()]:
            last = trial.value if trial.state == TrialState.COMPLETE else reports[-1]
            expected = {METRIC: last, f"best/{METRIC}": min(*reports, last)}
        assert {tag: values[tag] for tag in expected} == pytest.approx(expected, rel=1e-6)
        _trial_text(texts[trial.number], trial, record)
    assert not rows


def _trial_text(texts: list[str], trial: FrozenTrial, record: dict[str, Any]) -> None:
    [text] = texts
    cells = [html.unescape(cell) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", text, re.DOTALL)]
    shown = dict(zip(cells[::2], cells[1::2], strict=True))
    state = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(trial.state, "failed")
    reason = f": {record['reason']}" if record["reason"] else ""
    assert shown["outcome"] == state + reason
    if trial.state == TrialState.FAIL:
        assert shown["outcome"] == f"failed: ValueError: diverged at {trial.params['lr']}"
    assert shown.get(METRIC) == (None if trial.value is None else str(trial.value))
    assert float(shown["duration"].removesuffix(" s")) == pytest.approx(record["duration_s"], abs=1e-3)
    assert trial.datetime_complete is not None
    assert trial.datetime_start is not None
    lasted = (trial.datetime_complete - trial.datetime_start).total_seconds()
    assert record["duration_s"] == pytest.approx(lasted, abs=0.2), "Optuna's times include the storage"
    assert {name: shown[name] for name in trial.params} == {
        name: str(value) for name, value in trial.params.items()
    }
    assert shown["attempts"] == str(record["attempts"])


def _root_run(shown: Sweep) -> None:
    events = EventAccumulator(str(shown.runs / "numbers"))
    events.Reload()
    curve = events.Scalars(f"best_so_far/{METRIC}")
    assert curve[-1].step == len(shown.trials)
    assert curve[-1].value == pytest.approx(shown.study.best_value, rel=1e-6)
    [leaderboard] = [tag for tag in events.Tags()["tensors"] if tag.startswith("leaderboard")]
    markdown = events.Tensors(leaderboard)[-1].tensor_proto.string_val[0].decode()
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in markdown.splitlines() if line.startswith("|")]
    best = sorted(shown.complete(), key=lambda trial: trial.value)[:20]
    numbers = [row for row in rows if row[0].isdigit()]
    assert [int(row[0]) for row in numbers] == [trial.number for trial in best]
    shown_values: Callable[[float], str] = "{:.6g}".format
    assert [row[1] for row in numbers] == [shown_values(trial.value) for trial in best]
