"""The digits network learns from scikit-learn's digits or from MNIST's files."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sweep
from sweep.messages import Assignment, Report
from sweep.tracking.hparams import Session
from sweep.tracking.run_logger import RunLogger
from sweep.trial.channel import Interrupted
from sweep.trial.checkpoints import find_checkpoints
from tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "objectives"))
import digits_cnn


def test_the_network_has_the_documented_layers() -> None:
    shapes = {name: tuple(weights.shape) for name, weights in digits_cnn.Net(0.0).named_parameters()}
    assert shapes == {
        "conv1.weight": (10, 1, 5, 5),
        "conv1.bias": (10,),
        "conv2.weight": (20, 10, 5, 5),
        "conv2.bias": (20,),
        "fc1.weight": (50, 320),
        "fc1.bias": (50,),
        "fc2.weight": (10, 50),
        "fc2.bias": (10,),
    }
    outputs = digits_cnn.Net(0.0)(torch.rand(3, 1, 28, 28))
    assert outputs.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 3, rel=1e-5)


def test_a_fifth_of_each_digit_is_for_validation_only() -> None:
    training, validation = digits_cnn.load(None)
    assert len(training.labels) + len(validation.labels) == 1797
    assert training.images.shape[1:] == (1, 28, 28)
    assert 0 <= training.images.min() <= training.images.max() <= 1
    for digit in range(10):
        kept = int((validation.labels == digit).sum())
        assert kept == pytest.approx(0.2 * (kept + int((training.labels == digit).sum())), abs=1)


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_mnist_files_are_read_from_data_dir(tmp_path: Path) -> None:
    labels = np.arange(100) % 10
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28))
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    training, validation = digits_cnn.load(str(tmp_path))
    assert (len(training.labels), len(validation.labels)) == (80, 20)
    assert training.images.max() <= 1
    with pytest.raises(FileNotFoundError, match="data_dir: there is no train-images-idx3-ubyte"):
        digits_cnn.load(str(tmp_path / "elsewhere"))


def test_the_default_configuration_learns_and_shows_misclassified_digits(
    project: Path, ray_cluster: None
) -> None:
    result = sweep.run(
        REPOSITORY / "search_spaces" / "digits_cnn.yaml",
        overrides={
            "objective": f"{REPOSITORY}/objectives/digits_cnn.py:train",
            "parameters.lr": 0.01,
            "parameters.momentum": 0.5,
            "parameters.optimizer": {"values": ["sgd", "adamw"]},
            "parameters.batch_size": 32,
            "parameters.dropout": 0.1,
            "parameters.weight_decay": 1e-5,
            "parameters.epochs": 4,
            "sampler": "grid",
            "pruner": "none",
            "enqueue": [],
            "stop.trials": 2,
        },
    )
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 2
    assert result.best_value > 0.9
    for trial in result.trials:
        assert {"val/accuracy", "val/loss", "train/loss", "best/val/accuracy"} <= trial.metrics.keys()
        assert (trial.directory / "output.log").read_text() == ""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(result.trials[0].directory)).Reload()
    assert any(tag.startswith("misread") for tag in events.Tags()["images"])
    assert "weights/conv1.weight" in events.Tags()["histograms"]
    assert len(events.Scalars("val/accuracy")) == 4


def test_a_trial_interrupted_at_a_checkpoint_has_the_same_result(tmp_path: Path) -> None:
    whole = Story(tmp_path / "whole")
    whole.run(attempt=1)
    torn = Story(tmp_path / "torn", stop_after=2)
    with pytest.raises(Interrupted):
        torn.run(attempt=1)
    assert torn.accuracies.keys() == {0, 1}
    torn.stop_after = None
    torn.run(attempt=2)
    assert torn.accuracies == whole.accuracies
    assert len(torn.accuracies) == 4
    torn.run(attempt=3)
    assert len(torn.accuracies) == 4, "it resumed after its last epoch"


class Story:
    """A trial whose sweep is stopped after a number of checkpoints."""

    def __init__(self, directory: Path, stop_after: int | None = None) -> None:
        self.accuracies: dict[int, float] = {}
        self.stop_after = stop_after
        self._directory = directory
        self._saved = 0

    def run(self, attempt: int) -> None:
        params = {"lr": 0.01, "momentum": 0.5, "optimizer": "sgd", "batch_size": 64, "dropout": 0.3}
        session = Session({}, "demo/t0000", 0.0)
        found = find_checkpoints(self._directory / "checkpoint")
        run = RunLogger(self._directory, session, "val/accuracy", True, found[-1].step if found else None)
        assignment = Assignment(0, attempt, {**params, "weight_decay": 0.0, "epochs": 4}, session, 1)
        trial = sweep.Trial(assignment, self._directory, "val/accuracy", run, self, "cpu")
        torch.manual_seed(1)
        try:
            digits_cnn.train(trial)
        finally:
            run.finish()

    def report(self, report: Report) -> None:
        assert report.step not in self.accuracies, "an epoch was trained twice"
        self.accuracies[report.step] = report.value

    def should_prune(self) -> bool:
        return False

    def must_end(self) -> bool:
        self._saved += 1
        return self._saved == self.stop_after
