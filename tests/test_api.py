"""The Python API. Most sweeps run inline in this process, a few on Ray."""

from __future__ import annotations

import functools
import logging
import pkgutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import sweep
from sweep.analysis.resuming import stored_caller
from sweep.callbacks import Callbacks
from sweep.engine.observer import Observer
from sweep.errors import InputError, SpecError, SweepError
from sweep.messages import Report, ReportEvent
from sweep.sweepfile.model import Metric, Resources, Stop
from sweep.sweepfile.parameters import Choice, Constant, Range
from sweep.system.directory import SweepDirectory
from tests.commands import PATIENCE
from tests.conftest import MakeSweep


def parabola(trial: Any) -> float:
    x = trial.suggest_float("x", -10, 10)
    return float((x - 2) ** 2)


def declared(trial: sweep.Trial) -> float:
    return float(trial.params.lr)


def test_a_sweep_of_a_function_has_a_result(project: Path) -> None:
    result = sweep.run(parabola, name="demo", n_trials=8, sampler={"type": "tpe", "seed": 1}, inline=True)
    assert result.directory == project / "runs" / "demo"
    assert isinstance(result.study, optuna.Study)
    assert len(result.trials) == len(result.study.trials) == 8
    assert result.best_value == result.study.best_value == min(row.value or 0.0 for row in result.trials)
    assert result.best_params == result.study.best_params == result.best_trial.params
    assert result.best_trial.number == result.study.best_trial.number
    assert [row.number for row in result.best_trials] == [result.best_trial.number]
    table = result.dataframe()
    assert list(table["number"]) == list(range(8))
    assert list(table["params.x"]) == [row.params["x"] for row in result.trials]
    assert set(table["state"]) == {"COMPLETE"}


def test_a_call_with_the_same_name_resumes_and_a_call_without_a_name_starts_a_new_sweep(
    project: Path,
) -> None:
    first = sweep.run(parabola, name="demo", n_trials=3, inline=True)
    more = sweep.run(parabola, name="demo", n_trials=5, inline=True)
    assert [row.params for row in more.trials[:3]] == [row.params for row in first.trials]
    assert len(more.trials) == 5
    others = [sweep.run(parabola, n_trials=1, inline=True) for _ in range(3)]
    assert len({other.directory for other in others}) == 3
    assert all(other.directory.name.startswith("parabola-") for other in others)
    assert len(sweep.run(parabola, name="demo", n_trials=1, fresh=True, inline=True).trials) == 1


def test_optunas_log_level_is_restored_after_a_sweep(project: Path) -> None:
    before = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sweep.run(parabola, name="demo", n_trials=1, inline=True)
        _ = sweep.load("demo").best_params
        with pytest.raises(InputError):
            sweep.run(parabola, name="demo", n_trials=1, inline=True, goal="maximize")
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    finally:
        optuna.logging.set_verbosity(before)


class Notes(Observer):
    """An observer that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def notes_of(objective: Any, **options: Any) -> list[str]:
    """The notes of one more call."""
    observer = Notes()
    sweep.run(objective, name="demo", observer=observer, inline=True, **options)
    return observer.notes


def test_a_note_says_that_a_finished_sweep_was_not_run(project: Path) -> None:
    assert notes_of(parabola, n_trials=2) == []
    assert notes_of(parabola, n_trials=2) == [
        "demo is finished: 2 complete; nothing was run; for more trials: "
        "sweep.run(parabola, ..., name='demo', n_trials=4); for a new sweep: "
        "sweep.run(parabola, ..., name='demo', fresh=True)"
    ]
    assert notes_of(parabola, n_trials=3) == []
    assert notes_of(parabola, n_trials=2, fresh=True)[0].startswith("the old sweep is now in ")


CHANGED = "the objective's code has changed since the sweep started; earlier trials are kept"


def test_a_note_says_that_a_functions_code_has_changed(project: Path) -> None:
    def define(body: str) -> Any:
        code = f"def train(trial):\n    inner = lambda: {body}\n    return inner()\n"
        namespace: dict[str, Any] = {}
        exec(compile(code, f"<cell {len(body)}>", "exec"), namespace)
        return namespace["train"]

    assert notes_of(define("1.0 in {0.5, 1.0}"), n_trials=1) == []
    assert notes_of(define("1.0 in {0.5, 1.0}"), n_trials=2) == []
    assert notes_of(define("1.0 in {0.5, 2.0}"), n_trials=3) == [CHANGED]
    assert notes_of(define("float(trial.number)"), n_trials=3)[0] == CHANGED
    assert notes_of(define("0.5"), n_trials=1, fresh=True) != [CHANGED]
    assert notes_of(define("0.5"), n_trials=2) == []


def test_a_note_says_that_an_objectives_file_has_changed(make_sweep: MakeSweep) -> None:
    def notes(code: str, trials: int) -> list[str]:
        observer = Notes()
        sweep.run(make_sweep(code, stop={"trials": trials}), observer=observer, inline=True)
        return observer.notes

    assert notes("def train(trial): return 1.0", 1) == []
    assert notes("def train(trial): return 1.0", 2) == []
    assert notes("def train(trial): return 2.0", 3) == [CHANGED]


def test_a_note_says_that_a_script_has_changed_in_any_working_directory(make_sweep: MakeSweep) -> None:
    Path("there").mkdir()
    Path("train.py").write_text("another one")
    for trials, code, expected in ((1, "1", []), (2, "1", []), (3, "1.0", [CHANGED])):
        Path("there/train.py").write_text(f"print('{{\"loss\": {code}}}')")
        observer = Notes()
        file = make_sweep("", objective=None, program="train.py", cwd="there", stop={"trials": trials})
        sweep.run(file, observer=observer, inline=True)
        assert observer.notes == expected


def test_calls_without_a_name_in_the_same_second_get_different_directories(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    all_have_begun = threading.Barrier(6)

    def refuse(spec: sweep.SweepSpec, *arguments: Any, **options: Any) -> None:
        names.append(spec.name)
        assert (project / "runs" / spec.name).is_dir()
        all_have_begun.wait(120)
        raise InputError("no")

    def call() -> None:
        with pytest.raises(InputError, match="no"):
            sweep.run(parabola, n_trials=1, inline=True)

    monkeypatch.setattr("sweep.api.launch", refuse)
    monkeypatch.setattr("sweep.api._new_name", lambda function: "parabola-1")
    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == ["parabola-1", *(f"parabola-1-{count}" for count in range(2, 7))]
    assert list((project / "runs").glob("*")) == []


def test_a_second_thread_cannot_share_this_process_with_an_inline_sweep(project: Path) -> None:
    """Both would redirect its output and change its directory. A nested sweep in a trial is allowed."""
    refused: list[BaseException] = []

    def from_another_thread() -> None:
        try:
            sweep.run(parabola, name="second", n_trials=1, inline=True)
        except InputError as error:
            refused.append(error)

    def objective(trial: sweep.Trial) -> float:
        thread = threading.Thread(target=from_another_thread)
        thread.start()
        thread.join()
        return sweep.run(parabola, name="inner", n_trials=1, inline=True).best_value

    result = sweep.run(objective, name="outer", n_trials=1, inline=True)
    assert "another thread runs a sweep in this process" in str(refused[0])
    assert not (project / "runs" / "second").exists()
    assert result.trials[0].state == "COMPLETE"
    assert sweep.run(parabola, name="second", n_trials=1, inline=True).trials


def test_several_goals_make_a_multi_objective_sweep(project: Path) -> None:
    def both(trial: sweep.Trial) -> tuple[float, float]:
        x = trial.suggest_float("x", 0, 1)
        return x, 1 - x

    result = sweep.run(both, goals=["minimize", "maximize"], n_trials=5, inline=True)
    assert [direction.name for direction in result.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    for row in result.trials:
        assert row.values == pytest.approx((row.params["x"], 1 - row.params["x"]))
        assert row.metrics.keys() == {"objective_0", "best/objective_0", "objective_1"}
    named = sweep.run(both, metrics=["loss", "size"], goals=["minimize"] * 2, n_trials=2, inline=True)
    assert {"loss", "size"} <= named.trials[0].metrics.keys()


@pytest.mark.parametrize("logged", [{}, {"size": 3.0}])
def test_a_metric_that_is_returned_as_nan_fails_the_trial_whatever_was_logged_before(
    project: Path, logged: dict[str, float]
) -> None:
    def train(trial: sweep.Trial) -> dict[str, float]:
        trial.log({"loss": 1.0, **logged}, 0)
        return {"loss": trial.suggest_float("x", 0, 1), "size": float("nan")}

    result = sweep.run(train, metrics=["loss", "size"], goals=["minimize"] * 2, n_trials=1, inline=True)
    assert [(row.state, row.reason) for row in result.trials] == [("FAIL", "the metric 'size' is NaN")]


@pytest.mark.parametrize(
    "space",
    [
        {"lr": {"min": 0.5, "max": 1.0}, "n": {"values": (8, 16)}, "epochs": 3},
        {"lr": Range(min=0.5, max=1.0), "n": Choice(values=[8, 16]), "epochs": Constant(value=3)},
        {"lr": FloatDistribution(0.5, 1.0), "n": CategoricalDistribution([8, 16]), "epochs": 3},
        {"lr": FloatDistribution(0.5, 1.0, step=0.25), "n": IntDistribution(8, 16, step=8), "epochs": 3},
    ],
)
def test_a_space_can_be_written_as_in_a_file_as_models_or_as_optunas_distributions(
    project: Path, space: dict[str, Any]
) -> None:
    result = sweep.run(declared, space=space, goal="maximize", n_trials=4, inline=True)
    for row in result.trials:
        assert 0.5 <= row.params["lr"] <= 1.0
        assert row.params["n"] in (8, 16)
        assert row.params["epochs"] == 3
    assert result.best_value == max(row.params["lr"] for row in result.trials)


def test_a_spec_can_be_built_in_python_and_changed_by_options(project: Path) -> None:
    Path("train.py").write_text("def train(trial):\n    return trial.params.lr\n")
    spec = sweep.SweepSpec(
        name="built",
        objective="train.py:train",
        metric=Metric(name="loss", goal="minimize"),
        parameters={"lr": Range(min=0.0, max=1.0, alternatives=[2])},
        resources=Resources(cpu=0.5),
        stop=Stop(trials=2),
    )
    assert "or:\n    - 2" in spec.to_yaml()
    assert len(sweep.run(spec, inline=True).trials) == 2
    changed = sweep.run(spec, name="other", n_trials=3, sampler="random", inline=True)
    assert changed.directory.name == "other"
    assert len(changed.trials) == 3
    Path("s.yaml").write_text(spec.to_yaml())
    assert len(sweep.run("s.yaml", name="third", n_trials=1, inline=True).trials) == 1
    assert (
        len(sweep.run(Path("s.yaml"), overrides={"name": "4th", "stop.trials": 1}, inline=True).trials) == 1
    )


def test_an_existing_sweep_can_be_loaded(project: Path) -> None:
    result = sweep.run(parabola, name="demo", n_trials=2, inline=True)
    for place in ("demo", "runs/demo", result.directory):
        assert sweep.load(place).best_params == result.best_params
    with pytest.raises(InputError, match=r"demi: there is no such sweep in runs; did you mean 'demo'\?"):
        sweep.load("demi")


def test_the_best_trials_artifact_is_found(project: Path) -> None:
    def keeping(trial: sweep.Trial) -> float:
        Path("model.txt").write_text(str(trial.number))
        trial.save_artifact("model.txt")
        return trial.suggest_float("x", 0, 1)

    result = sweep.run(keeping, n_trials=3, inline=True)
    assert result.artifact("model.txt").read_text() == str(result.best_trial.number)
    with pytest.raises(InputError, match=r"has no artifact 'model\.tx'; did you mean 'model\.txt'"):
        result.artifact("model.tx")


class CustomSampler(optuna.samplers.RandomSampler):
    """A sampler that is not part of Optuna."""


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"sampler": "tpee"}, SpecError, r"sweep\.run: sampler.*did you mean"),
        ({"samplr": "tpe"}, SpecError, r"sweep\.run: samplr: unknown key; did you mean 'sampler'"),
        (
            {"resources": {"gpus": 1}},
            SpecError,
            r"sweep\.run: resources\.gpus: unknown key; did you mean 'gpu'",
        ),
        ({"goal": "up"}, SpecError, "'up' is not valid"),
        ({"goal": "minimize", "goals": ["minimize"]}, InputError, "goal is for one metric, .* leave one out"),
        (
            {"goal": "minimize", "direction": "minimize"},
            InputError,
            "goal and direction are the same argument; leave one out",
        ),
        (
            {"goals": ["minimize"], "directions": ["minimize"]},
            InputError,
            "goals and directions are the same argument; leave one out",
        ),
        ({"goals": ["minimize"] * 2, "metrics": ["a"]}, InputError, "metrics: expected 2 names"),
        ({"n_trials": 3, "stop": {"trials": 4}}, InputError, "n_trials is the same as"),
        ({"n_trials": 0}, SpecError, r"sweep\.run: stop\.trials: must be greater than 0"),
        ({"callbacks": [print]}, InputError, "is not a callback"),
        ({"timeout": 3}, InputError, r'timeout: .* write stop=\{"time": 3\} for the whole sweep, or trial='),
        ({"n_jobs": 2}, InputError, "n_jobs: unknown key; write max_parallel=2$"),
        ({"num_samples": 3}, InputError, "num_samples: unknown key; write n_trials=3$"),
        ({"seed": 3}, InputError, r'seed: .* write sampler=\{"seed": 3\}$'),
        ({"search_space": {}}, InputError, r'search_space: .* write space=\{"lr": \{.*"log": True\}\}$'),
        ({"parameters": {}}, InputError, r"parameters: write space=\{\.\.\.\}"),
        ({"objective": "a.py:f"}, InputError, "objective: it is the first argument"),
        ({"mode": "max"}, InputError, 'mode: unknown key; write goal="maximize"$'),
        ({"study_name": "mine"}, InputError, 'write name="mine"$'),
        ({"catch": ()}, InputError, "catch: unknown key; leave it out: a trial that raises fails"),
        ({"stop": {"n_trials": 3}}, InputError, r'stop\.n_trials: unknown key; write "trials": 3$'),
        ({"goals": ["minimize"], "metrics": 5}, InputError, "metrics: expected 1 names"),
        (
            {"goals": ["minimize"] * 2, "metrics": {"a": 1, "b": 2}},
            InputError,
            "metrics: expected 2 names",
        ),
        ({"ntrials": 2}, InputError, "ntrials: unknown key; write n_trials=2$"),
        ({"callbacks": sweep.Callback()}, InputError, r"callbacks: expected a list, .*; put it in \[ \]"),
        (
            {"callbacks": [sweep.Callback]},
            InputError,
            r"is a class; instantiate it: \[Callback\(\)\]",
        ),
        ({"grace": -1}, InputError, "grace: must be at least 0, got -1"),
        ({"grace": float("nan")}, InputError, "grace: expected a finite number, got nan"),
        ({"grace": "soon"}, InputError, "grace: expected a duration such as 90s"),
        ({"goals": "minimize"}, InputError, r"goals: expected a list such as .* got 'minimize'"),
        ({"directions": 2}, InputError, "goals: expected a list"),
        ({"goals": [3]}, SpecError, "3 is not valid"),
        ({"goal": ["minimize"]}, InputError, r"metric\.goal: \['minimize'\] is not valid; "),
        ({"metrics": ["a", "b"]}, InputError, r"goals=\['minimize', 'minimize'\]"),
        (
            {"sampler": optuna.samplers.TPESampler()},
            InputError,
            r'sampler: TPESampler is one of .* write sampler=\{"type": "tpe", "seed": 3\}',
        ),
        ({"sampler": optuna.samplers.NSGAIISampler}, InputError, r'\{"type": "nsga2", "seed": 3\}'),
        (
            {"pruner": optuna.pruners.SuccessiveHalvingPruner()},
            InputError,
            r'pruner=\{"type": "asha"\}',
        ),
        ({"sampler": CustomSampler()}, InputError, r'sampler=\{"type": "tests\.test_api:CustomSampler"\}'),
        ({"space": {"x": {"min": 2.0, "max": 1.0}}}, SpecError, r"sweep\.run: parameters\.x"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(
    project: Path, call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sweep.run(parabola, inline=True, **{"n_trials": None, **call})
    assert not Path("runs").exists()


class Model:
    """A class whose instances are objectives."""

    def __call__(self, trial: Any) -> float:
        return 1.0


async def later(trial: Any) -> float:
    return 1.0


def each(trial: Any) -> Any:
    yield 1.0


@functools.wraps(later)
def now(trial: Any) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: 1.0, "cannot be called with the trial only: too many positional arguments"),
        (
            lambda trial, data: 1.0,
            "cannot be called with the trial only: missing a required argument: 'data'",
        ),
        (Model, "tests.test_api:Model is a class; give an instance of it, or a function"),
        (later, "later is async, .*; write a function that calls asyncio.run"),
        (functools.partial(each), "each contains yield, .*; return the metric"),
    ],
)
def test_what_cannot_be_called_with_a_trial_is_refused_before_anything_is_written(
    project: Path, function: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        sweep.run(function, inline=True)
    assert not Path("runs").exists()


@pytest.mark.parametrize("function", [Model(), now, functools.partial(lambda data, trial: data, 1.0)])
def test_any_callable_that_takes_a_trial_is_an_objective(project: Path, function: Any) -> None:
    assert sweep.run(function, inline=True, n_trials=1).best_value == 1.0


def test_foreign_keys_are_recognised_with_a_file_or_a_spec(project: Path) -> None:
    spec = sweep.SweepSpec(
        name="built",
        objective="train.py:train",
        metric=Metric(name="loss", goal="minimize"),
        parameters={"lr": Range(min=0.0, max=1.0)},
    )
    Path("s.yaml").write_text(spec.to_yaml())
    for what in (spec, "s.yaml"):
        with pytest.raises(InputError, match=r"n_jobs: unknown key; write max_parallel=2$"):
            sweep.run(what, n_jobs=2)  # type: ignore[call-arg]
        with pytest.raises(
            InputError, match=r'mode: .* write metric=\{"name": "loss", "goal": "maximize"\}$'
        ):
            sweep.run(what, mode="max")  # type: ignore[call-arg]
        with pytest.raises(InputError, match='"type": "random", "seed": 3'):
            sweep.run(what, sampler=optuna.samplers.RandomSampler())


def test_optunas_direction_and_directions_are_accepted_for_goal_and_goals(project: Path) -> None:
    maximize = optuna.study.StudyDirection.MAXIMIZE
    result = sweep.run(lambda trial: 1.0, direction=maximize, n_trials=1, inline=True)
    assert result.study.direction == maximize
    result = sweep.run(lambda trial: 1.0, goal=maximize, n_trials=1, inline=True)
    assert result.study.direction == maximize
    result = sweep.run(lambda trial: (1, 2), directions=[maximize, "minimize"], n_trials=1, inline=True)
    assert result.study.directions == [maximize, optuna.study.StudyDirection.MINIMIZE]


@pytest.mark.parametrize("name", ["demo", None])
def test_the_error_for_an_unusable_runs_folder_has_its_path(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    Path("file").touch()
    for runs in ("file", "file/below"):
        with pytest.raises(InputError, match="file: is not a directory; choose another directory"):
            sweep.run(parabola, name=name, n_trials=1, inline=True, runs=runs)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match=f"{project}: is not writable"):
        sweep.run(parabola, name="demo", n_trials=1, inline=True, runs="new/runs")
    assert not Path("new").exists()


def test_an_old_sweep_is_not_moved_if_the_new_spec_cannot_be_serialised(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.run(parabola, name="demo", n_trials=1, inline=True)
    before = sorted(project.rglob("*"))

    def refuse(spec: sweep.SweepSpec) -> str:
        raise ValueError("no YAML")

    monkeypatch.setattr(sweep.SweepSpec, "to_yaml", refuse)
    with pytest.raises(ValueError, match="no YAML"):
        sweep.run(parabola, name="demo", n_trials=1, inline=True, fresh=True)
    assert sorted(project.rglob("*")) == before


class Recorder(sweep.Callback):
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.threads: set[threading.Thread] = set()

    def on_trial_start(self, trial: Any) -> None:
        self.events.append(("start", trial.number))
        self.threads.add(threading.current_thread())

    def on_report(self, report: Any) -> None:
        assert (report.attempt, report.repeat) == (1, 0)
        self.events.append(("report", report.number, report.step, report.value))

    def on_trial_end(self, trial: Any) -> None:
        self.events.append(("end", trial.number, trial.state, trial.params))

    def on_sweep_end(self, result: Any) -> None:
        self.events.append(("over", len(result.trials)))


def reporting(trial: Any) -> float:
    x = trial.suggest_float("x", 0, 1)
    for step in range(3):
        trial.report(x, step)
    if trial.number == 1:
        raise ValueError("no")
    return float(x)


@pytest.mark.parametrize("inline", [True, False])
def test_callbacks_are_called_in_order_in_the_callers_thread(
    project: Path, ray_cluster: None, inline: bool
) -> None:
    recorder = Recorder()
    result = sweep.run(reporting, n_trials=3, callbacks=[recorder], inline=inline, max_parallel=2)
    assert recorder.threads == {threading.current_thread()}
    for row in result.trials:
        x = row.params["x"]
        own = [event for event in recorder.events if event[1] == row.number and event[0] != "over"]
        assert own == [
            ("start", row.number),
            *(("report", row.number, step, x) for step in range(3)),
            ("end", row.number, row.state, {"x": x}),
        ]
    assert [row.state for row in result.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert recorder.events[-1] == ("over", 3)


@pytest.mark.parametrize("is_alone", [True, False])
def test_an_observer_that_wants_reports_and_callbacks_receive_each_report(
    project: Path, is_alone: bool
) -> None:
    class Watch(Observer):
        wants_reports = True

        def __init__(self) -> None:
            self.received: list[tuple[str, int, int, float]] = []

        def on_reports(self, report_events: Iterable[ReportEvent]) -> None:
            self.received += [
                ("report", one.number, one.report.step, one.report.value) for one in report_events
            ]

    watch, recorder = Watch(), Recorder()
    callbacks = [] if is_alone else [recorder]
    result = sweep.run(reporting, n_trials=3, callbacks=callbacks, observer=watch, inline=True)
    assert watch.received == [
        ("report", row.number, step, row.params["x"]) for row in result.trials for step in range(3)
    ]
    if not is_alone:
        assert [event for event in recorder.events if event[0] == "report"] == watch.received


def test_an_iterator_of_report_events_reaches_observer_and_callbacks(tmp_path: Path) -> None:
    received: list[ReportEvent] = []

    class Watch(Observer):
        def on_reports(self, report_events: Iterable[ReportEvent]) -> None:
            received.extend(report_events)

    recorder = Recorder()
    report_events = ReportEvent(0, 0, 1, Report(1, 0.5))
    Callbacks([recorder], SweepDirectory(tmp_path), Watch()).on_reports(iter([report_events]))
    assert received == [report_events]
    assert recorder.events == [("report", 0, 1, 0.5)]


def test_the_representation_of_a_result(project: Path) -> None:
    result = sweep.run(lambda trial: trial.suggest_int("x", 4, 4), name="demo", n_trials=2, inline=True)
    assert repr(result) == f"SweepResult({str(result.directory)!r}, 2 complete; best: trial 0, objective=4)"


@pytest.mark.parametrize("progress", [True, False])
def test_the_summary_is_printed_if_progress_is_shown(
    project: Path, capsys: pytest.CaptureFixture[str], progress: bool
) -> None:
    sweep.run(parabola, name="demo", n_trials=2, inline=True, progress=progress)
    shown = capsys.readouterr().out
    assert ("best: trial" in shown) == progress
    assert ("sweep tensorboard demo" in shown) == progress


def test_an_exception_in_a_callback_is_logged_and_does_not_stop_the_sweep(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(sweep.Callback):
        def on_report(self, report: Any) -> None:
            raise RuntimeError("my mistake")

    recorder = Recorder()
    with caplog.at_level(logging.WARNING):
        result = sweep.run(reporting, n_trials=3, callbacks=[Broken(), recorder], inline=True)
    assert len(result.trials) == 3
    assert len([event for event in recorder.events if event[0] == "report"]) == 9
    (record,) = caplog.records
    assert record.getMessage() == ("Broken.on_report raised RuntimeError: my mistake; the sweep continues")
    assert record.exc_info is not None


def test_notes_are_logged_if_nothing_is_shown(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    def objective(trial: Any) -> float:
        return float(trial.suggest_float("x", 0, 1))

    sweep.run(objective, n_trials=1, enqueue=[{"y": 1}], inline=True)
    assert "the enqueued y=1 was not used" in caplog.text


class Offset:
    def __init__(self, by: float) -> None:
        self.by = by

    def train(self, trial: Any) -> float:
        return parabola(trial) + self.by

    __call__ = train


def test_closures_lambdas_methods_and_partials_run_on_workers(project: Path, ray_cluster: None) -> None:
    by = 100.0

    def closure(trial: Any) -> float:
        return parabola(trial) + by

    objectives: list[Any] = [
        closure,
        lambda trial: parabola(trial) + by,
        Offset(by).train,
        Offset(by),
        functools.partial(lambda offset, trial: parabola(trial) + offset, by),
    ]
    for index, objective in enumerate(objectives):
        result = sweep.run(objective, name=f"s{index}", n_trials=1)
        assert [row.state for row in result.trials] == ["COMPLETE"], result.trials
        assert result.best_value >= by


def test_the_error_for_a_missing_best_trial_has_the_reason(project: Path) -> None:
    result = sweep.run(lambda trial: 1 / 0, n_trials=2, inline=True)
    with pytest.raises(SweepError, match=r"no trial is complete; 2 failed, all with: ZeroDivisionError"):
        _ = result.best_params


def test_a_function_that_cannot_be_pickled_is_refused_before_anything_is_written(project: Path) -> None:
    lock = threading.Lock()

    def locked(trial: Any) -> float:
        with lock:
            return 1.0

    with pytest.raises(
        InputError, match=r"locked cannot be sent to workers: TypeError: cannot pickle .*lock"
    ):
        sweep.run(locked, n_trials=1)
    assert not Path("runs").exists()
    assert sweep.run(locked, n_trials=1, inline=True).best_value == 1.0


SCRIPT = """
import helper, sweep

scale = 10.0

class Model:
    def loss(self, x):
        return helper.square(x) * scale

def train(trial):
    print("printed to the log")
    return Model().loss(trial.suggest_float("x", -1, 1))

result = sweep.run(train, name="scripted", n_trials=4, max_parallel=2, resources={"cpu": 0.5})
print(len(result.trials), [t.state for t in result.trials], result.best_value < 10)
"""


@pytest.mark.process
def test_a_script_needs_no_main_guard_and_finds_the_modules_next_to_it(project: Path) -> None:
    (project / "code").mkdir()
    (project / "code" / "helper.py").write_text("def square(x):\n    return x * x\n")
    (project / "code" / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "code/script.py"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout.splitlines() == ["4 ['COMPLETE', 'COMPLETE', 'COMPLETE', 'COMPLETE'] True"], (
        done.stderr
    )
    assert done.stderr == ""
    assert (project / "runs/scripted/trial-0000/output.log").read_text() == "printed to the log\n"


@pytest.mark.process
def test_optuna_opens_the_study_without_this_package(project: Path) -> None:
    sweep.run(parabola, name="demo", n_trials=2, inline=True)
    code = textwrap.dedent(
        """
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
        storage = JournalStorage(JournalFileBackend("runs/demo/journal.log"))
        print(len(optuna.load_study(study_name="demo", storage=storage).trials))
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_notes_about_a_sweep_file_reach_the_observer(project: Path) -> None:
    (project / "train.py").write_text("print('{\"loss\": 1}')\n")
    Path("wandb.yaml").write_text(
        "program: train.py\nmethod: random\nrun_cap: 1\nmetric: {name: loss, goal: minimize}\n"
        "parameters: {lr: {distribution: log_uniform, min: 0.0001, max: 0.1}}\n"
    )
    observer = Notes()
    sweep.run("wandb.yaml", observer=observer, inline=True)
    assert any("exponents of e" in note for note in observer.notes)


def test_overrides_can_be_numpy_numbers(make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial): return 1.0")
    assert len(sweep.run(file, overrides={"stop.trials": np.int64(2)}, inline=True).trials) == 2
    overrides: Any = {1: 2}
    with pytest.raises(InputError, match="expected keys such as"):
        sweep.run(file, overrides=overrides, inline=True)


def test_the_error_without_a_feasible_trial_differs_from_that_without_a_complete_trial(
    project: Path,
) -> None:
    def train(trial: sweep.Trial) -> float:
        trial.set_constraint("memory", 1.0)
        return trial.params.x

    result = sweep.run(train, space={"x": {"values": [0.0, 1.0]}}, name="limits", n_trials=2, inline=True)
    with pytest.raises(
        SweepError, match="limits: no complete trial satisfies the constraints on the metrics"
    ):
        result.best_params  # noqa: B018


def test_inline_the_device_is_the_cpu_on_a_machine_without_a_gpu(project: Path) -> None:
    result = sweep.run(
        lambda trial: float(trial.device == "cpu"),
        n_trials=1,
        resources={"gpu": 1},
        inline=True,
        name="one",
        space={"x": {"values": [0.0, 1.0]}},
    )
    assert result.best_value == 1.0
    assert "this machine has no GPU" in (result.directory / "trial-0000/output.log").read_text()


def test_the_error_of_a_refused_resume_names_calls(project: Path) -> None:
    sweep.run(parabola, name="demo", n_trials=1, inline=True)
    with pytest.raises(sweep.InputError) as refused:
        sweep.run(parabola, name="demo", n_trials=1, inline=True, goal="maximize")
    message = str(refused.value)
    assert "for another sweep: sweep.run(parabola, ..., name='NAME')\n" in message
    assert message.endswith("start again: sweep.run(parabola, ..., name='demo', fresh=True)")
    assert "--" not in message


def test_an_interrupted_call_names_the_call_that_resumes(project: Path) -> None:
    def train(trial: sweep.Trial) -> float:
        signal.raise_signal(signal.SIGINT)
        return 1.0

    with pytest.raises(KeyboardInterrupt) as interrupted:
        sweep.run(train, name="demo", n_trials=1, inline=True)
    call = "sweep.run(train, ..., name='demo')"
    assert str(interrupted.value) == f"demo was interrupted; resume with: {call}"
    assert stored_caller(SweepDirectory.of(Path("runs"), "demo")).again() == call


def test_a_failure_of_all_trials_is_logged_if_nothing_is_displayed(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def train(trial: sweep.Trial) -> float:
        raise ValueError(f"no data for {trial.number}")

    result = sweep.run(train, name="demo", n_trials=20, inline=True)
    assert len(result.trials) == 5
    assert "demo: no trial is complete yet; 5 failed, all with a message like: ValueError" in caplog.text
    assert "resume with sweep.run(" in caplog.text
    assert "stop={'failures': 'unlimited'})" in caplog.text


def test_no_part_of_the_package_has_the_name_of_a_public_function() -> None:
    """Python would replace `sweep.report` by a package of this name as soon as the package is imported."""
    parts = {module.name for module in pkgutil.iter_modules(sweep.__path__)}
    assert not parts & set(sweep.__all__)
