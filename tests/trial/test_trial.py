"""The interface of a trial for its objective."""

from __future__ import annotations

import copy
import math
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
import yaml

from sweep.messages import Assignment, Report
from sweep.objective.result import BadResultError, read_result
from sweep.tracking.hparams import Session
from sweep.tracking.read import read_scalars
from sweep.tracking.run_logger import RunLogger
from sweep.trial.params import Params, SuggestedParams
from sweep.trial.scalars import BadNumberError
from sweep.trial.trial import Trial


class Recorder:
    """A channel that records messages."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def should_prune(self) -> bool:
        return len(self.reports) > 2

    def must_end(self) -> bool:
        return False


@pytest.fixture
def channel() -> Recorder:
    return Recorder()


@pytest.fixture
def trial(tmp_path: Path, channel: Recorder) -> Trial:
    session = Session({"lr": 0.1}, "demo/t0003", 0.0)
    run = RunLogger(tmp_path, session, "loss", maximize=False)
    assignment = Assignment(3, 1, {"lr": 0.1, "act": "relu"}, session, seed=7)
    return Trial(assignment, tmp_path, "loss", run, channel, "cpu")


def test_parameters_are_a_mapping_with_attributes() -> None:
    params = Params({"lr": 0.1, "sgd.momentum": 0.9})
    assert params.lr == params["lr"] == 0.1
    assert dict(params) == {"lr": 0.1, "sgd.momentum": 0.9}
    assert dict(**params) == dict(params)
    assert params.get("no") is None
    assert pickle.loads(pickle.dumps(params)) == params
    with pytest.raises(AttributeError, match="no parameter 'lrr'; did you mean 'lr'"):
        _ = params.lrr
    with pytest.raises(KeyError, match=r"no parameter 'wd'; possible: lr, sgd\.momentum"):
        _ = params["wd"]
    with pytest.raises(AttributeError, match="cannot be changed"):
        params.lr = 1.0


def test_a_report_goes_to_the_pruner_and_to_tensorboard(trial: Trial, channel: Recorder) -> None:
    for step, value in enumerate([0.5, 0.75, 0.25]):
        trial.report(value, step)
    assert channel.reports == [Report(0, 0.5), Report(1, 0.75), Report(2, 0.25)]
    assert trial.should_prune()
    assert read_scalars(trial.directory) == {
        "loss": {0: 0.5, 1: 0.75, 2: 0.25},
        "best/loss": {0: 0.5, 1: 0.5, 2: 0.25},
    }


def test_logging_the_metric_reports_it(trial: Trial, channel: Recorder) -> None:
    trial.log({"loss": 0.5, "accuracy": np.float32(0.75)}, step=np.int64(4))
    assert channel.reports == [Report(4, 0.5)]
    assert read_scalars(trial.directory)["accuracy"] == {4: 0.75}


def test_a_step_keeps_the_first_value_reported_for_it(trial: Trial, channel: Recorder) -> None:
    trial.report(0.5, 0)
    trial.report(0.25, 0)
    trial.log({"loss": 0.25, "other": 1.0}, 0)
    assert channel.reports == [Report(0, 0.5)]
    assert read_scalars(trial.directory) == {"loss": {0: 0.5}, "best/loss": {0: 0.5}, "other": {0: 1.0}}


def test_nan_is_written_but_is_never_the_best_value(trial: Trial) -> None:
    trial.report(0.5, 0)
    trial.report(math.nan, 1)
    scalars = read_scalars(trial.directory)
    assert math.isnan(scalars["loss"][1])
    assert scalars["best/loss"] == {0: 0.5, 1: 0.5}


@pytest.mark.parametrize(
    "step", [-1, 0.5, 2**31, math.inf, math.nan, pytest.param(10**400, id="huge"), True, "one", None]
)
def test_a_step_that_tensorboard_cannot_show_is_an_error(trial: Trial, step: Any) -> None:
    with pytest.raises(ValueError, match="step is"):
        trial.report(0.5, step)


@pytest.mark.parametrize("value", ["0.5", None, [1, 2], pytest.param(10**400, id="huge"), object()])
def test_a_value_that_is_not_a_number_is_an_error(trial: Trial, value: Any) -> None:
    with pytest.raises(ValueError, match=r"'loss' is .*; it must be a number"):
        trial.report(value, 0)


def test_several_metrics_are_logged_and_not_reported(trial: Trial) -> None:
    with pytest.raises(ValueError, match=r"call trial\.log\(values, step\)"):
        trial.report({"loss": 0.5, "acc": 1.0}, 0)  # type: ignore[arg-type]


def test_the_writer_is_a_tensorboardx_writer_and_can_be_closed(trial: Trial) -> None:
    from tensorboardX import SummaryWriter

    assert isinstance(trial.writer, SummaryWriter)
    trial.writer.add_scalar("a", 1.0, 0)
    trial.writer.flush()
    with trial.writer as writer:
        writer.add_scalar("b", 2.0, 0)
    trial.writer.add_scalar("c", 3.0, 0)
    trial.report(0.5, 0)
    scalars = read_scalars(trial.directory)
    assert {tag: values[0] for tag, values in scalars.items()} == {
        "a": 1.0,
        "b": 2.0,
        "c": 3.0,
        "loss": 0.5,
        "best/loss": 0.5,
    }
    assert len(list(trial.directory.glob("*tfevents*"))) == 1, "TensorBoard's Python loader follows one file"


def test_scalars_of_the_writer_are_those_of_the_trial(trial: Trial, channel: Recorder) -> None:
    for step in range(3):
        trial.writer.add_scalar("loss", 1 / (step + 1), step)
    trial.writer.add_hparams({"lr": 0.1}, {"loss": 0.25, "acc": 0.75})
    assert channel.reports == [Report(step, 1 / (step + 1)) for step in range(3)]
    assert trial.last_value == 1 / 3
    assert list(read_scalars(trial.directory)["loss"]) == [0, 1, 2]
    assert read_scalars(trial.directory)["acc"] == {2: 0.75}


def test_scalars_of_the_writer_without_a_step_are_counted(trial: Trial, channel: Recorder) -> None:
    trial.writer.add_scalar("train/loss", 9.0, 7)
    for value in (3.0, 2.0, 1.0):
        trial.writer.add_scalar("loss", value)
        trial.writer.add_scalar("train/loss", value)
    trial.writer.add_scalar("loss", 0.5, 20)
    trial.writer.add_scalar("loss", 0.25)
    curve = {0: 3.0, 1: 2.0, 2: 1.0, 20: 0.5, 21: 0.25}
    assert channel.reports == [Report(step, value) for step, value in curve.items()]
    assert trial.last_value == 0.25
    assert read_scalars(trial.directory)["loss"] == curve
    assert read_scalars(trial.directory)["train/loss"] == {7: 9.0, 8: 3.0, 9: 2.0, 10: 1.0}


def test_the_writer_opens_no_other_run(trial: Trial) -> None:
    trial.writer.add_scalars("both", {"train": 1.0, "val": 2.0}, 3)
    trial.writer.add_hparams({"lr": 0.1}, {"size": 4.0})
    scalars = read_scalars(trial.directory)
    assert scalars == {"both/train": {3: 1.0}, "both/val": {3: 2.0}, "size": {3: 4.0}}
    assert [path.parent for path in trial.directory.rglob("*events.out*")] == [trial.directory]


@pytest.mark.parametrize(
    ("result", "last", "value"),
    [
        (0.5, None, 0.5),
        (1, 9.0, 1.0),
        (np.float32(0.5), None, 0.5),
        ({"loss": 0.5, "more": 2}, None, 0.5),
        ({"more": 2}, 0.75, 0.75),
        (None, 0.75, 0.75),
    ],
)
def test_the_metric_is_the_returned_value_or_the_last_reported_one(
    result: Any, last: float | None, value: float
) -> None:
    assert read_result(result, ["loss"], last)[0] == value


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned nothing and reported nothing"),
        ("0.5", "what the objective returned is '0.5'; it must be a number"),
        ([0.5, 1], "returned 2 values, but the metrics with a goal are loss; write metrics"),
        ({"lss": 0.5}, "the objective returned no 'loss'; did you mean 'lss'"),
        ({"loss": None}, "'loss' is None; it must be a number"),
        (10**400, "what the objective returned is 10+...; it must be a number"),
    ],
)
def test_a_result_without_the_metric_is_an_error(result: Any, message: str) -> None:
    with pytest.raises((BadNumberError, BadResultError), match=message):
        read_result(result, ["loss"], None)


def test_using_a_trial_in_a_forked_process_is_an_error(trial: Trial) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: trial.report(1.0, 0),
        lambda: trial.log({"accuracy": 1.0}, 0),
        lambda: trial.should_prune(),
        lambda: trial.set_user_attr("a", 1),
        lambda: trial.writer,
        lambda: trial.checkpoint.latest(),
        lambda: trial.checkpoint.save(0).__enter__(),
        lambda: trial.save_artifact(__file__),
    ]
    ours, theirs = multiprocessing.Pipe()

    def child() -> None:
        for call in calls:
            try:
                call()
            except RuntimeError as error:
                theirs.send(str(error))
            else:
                theirs.send("nothing was raised")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    for _ in calls:
        assert ours.poll(120)
        assert ours.recv().startswith(
            "a trial belongs to the process in which its objective was called; send"
        )
    process.join(120)


def test_a_trial_cannot_be_pickled_and_its_copy_is_itself(trial: Trial) -> None:
    for dumps in (pickle.dumps, cloudpickle.dumps):
        with pytest.raises(TypeError, match="a trial belongs to the process in which its"):
            dumps(trial)
    assert copy.copy(trial) is trial
    assert copy.deepcopy({"trial": trial})["trial"] is trial


@pytest.mark.parametrize("kind", [Params, SuggestedParams])
def test_parameters_keep_their_type_when_pickled_or_copied(kind: type[Params]) -> None:
    params = kind({"lr": 0.1, "layers": [1, 2]})
    for copied in (pickle.loads(pickle.dumps(params)), copy.copy(params), copy.deepcopy(params)):
        assert type(copied) is kind
        assert copied == params


@pytest.mark.parametrize("kind", [Params, SuggestedParams])
def test_parameters_can_be_saved_with_weights_and_as_yaml(kind: type[Params], tmp_path: Path) -> None:
    params = kind({"lr": 0.1, "act": "relu", "layers": [1, 2], "options": {"bias": True}})
    torch.save({"params": params, "weights": torch.ones(2)}, tmp_path / "model.pt")
    assert torch.load(tmp_path / "model.pt")["params"] == params
    for text in (yaml.dump(params), yaml.safe_dump({"params": params})):
        assert yaml.safe_load(text) in (params, {"params": params})


def test_parameters_of_a_group_are_attributes_of_attributes() -> None:
    params = Params({"lr": 0.1, "sgd.momentum": 0.9, "sgd.inner.depth": 2})
    assert params.sgd.momentum == params["sgd.momentum"] == 0.9
    assert params.sgd.inner.depth == 2
    assert dict(params.sgd) == {"momentum": 0.9, "inner.depth": 2}
    with pytest.raises(AttributeError, match="no parameter 'adam'"):
        params.adam  # noqa: B018
    with pytest.raises(AttributeError, match="no parameter 'nesterov'"):
        params.sgd.nesterov  # noqa: B018
