"""What `explain` says about early steps and about the pruner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import planted_health
import pytest

from sweep.analysis.pruning_health import pruning_statements
from sweep.analysis.rank_correlation import interval, ranks, spearman, without_order
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.messages import Outcome, Report
from sweep.system.directory import SweepDirectory
from tests.analysis.test_timeline import make_spec

CURVES = [name for name, case in planted_health.CASES.items() if case.curve is not None]


@pytest.mark.parametrize("name", CURVES)
def test_what_early_steps_and_the_pruner_do_is_found(name: str) -> None:
    case = planted_health.CASES[name]
    for seed in (0, 1):
        said = planted_health.said_about(case, seed)
        assert case.is_right(said), [one.text for one in said]


Curve = Callable[[int], Sequence[float]]


def run(directory: SweepDirectory, curve: Curve, trials: int = 12, **keys: Any) -> list[Statement]:
    """What is said about a sweep whose trials report these curves, and return the last value."""
    spec = make_spec(stop={"trials": trials}, **keys)
    directory.spec.write_text(spec.to_yaml())
    controller = Controller(spec, directory, slots=1)
    for number in range(trials):
        assert controller.next_step(None).assignment is not None
        values = curve(number)
        reports = tuple(Report(step, value) for step, value in enumerate(values))
        controller.finish(Outcome(number, 1, "returned", values[-1] if values else 1.0, reports=reports))
    return pruning_statements(SweepView(directory))


def test_nothing_is_said_about_trials_that_report_nothing(directory: SweepDirectory) -> None:
    assert run(directory, lambda number: []) == []


@pytest.mark.parametrize(
    ("curve", "why"),
    [
        (lambda number: [], "no trial reports intermediate values"),
        (lambda number: [float(number)], "trials report only once"),
        (lambda number: [float(number)] * 3, "trials do not ask trial.should_prune"),
    ],
)
def test_an_idle_pruner_has_its_reason(directory: SweepDirectory, curve: Curve, why: str) -> None:
    (statement,) = (one for one in run(directory, curve, pruner="median") if one.key == "pruner_idle")
    assert why in statement.text


def test_a_pruner_that_waits_for_more_trials_is_idle_because_of_that(directory: SweepDirectory) -> None:
    pruner = {"type": "median", "startup_trials": 20}
    said = run(directory, lambda number: [float(number)] * 3, pruner=pruner)
    assert "it waits until 20 trials are complete" in said[-1].text


def test_values_that_are_equal_or_nan_say_nothing_and_are_no_error(directory: SweepDirectory) -> None:
    (equal,) = run(directory, lambda number: [1.0, 1.0, float(number)])
    assert equal.data["verdict"] == "unclear"
    assert "no step in common" in equal.text


def test_steps_that_only_some_trials_reach_are_not_compared(directory: SweepDirectory) -> None:
    (said,) = run(
        directory, lambda number: [float(number), 2.0 * number, 1.0 * number] if number < 3 else [1.0]
    )
    assert said.data["verdict"] == "unclear"


def test_infinite_values_are_ranked_like_others(directory: SweepDirectory) -> None:
    (said,) = run(
        directory,
        lambda number: [float(number), 1.0 * number, 2.0 * number, np.inf if number > 9 else number],
    )
    assert said.data["verdict"] == "enough"
    assert said.data["step"] == 0


def test_the_correlation_is_spearmans() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 6, 40).astype(float), generator.normal(size=40)
    assert ranks(np.array([3.0, 1.0, 3.0])).tolist() == [1.5, 0.0, 1.5]
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert spearman(a, np.ones(40)) is None


def test_the_interval_covers_the_truth_in_95_of_100_cases() -> None:
    generator = np.random.default_rng(0)
    true = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's correlation of a normal distribution
    covered = 0
    for _ in range(400):
        a, b = generator.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 50).T
        value = spearman(a, b)
        assert value is not None
        found = interval(value, 50)
        covered += found.low <= true <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_what_two_series_share_with_their_order_can_be_removed() -> None:
    generator = np.random.default_rng(0)
    order = np.arange(200.0)
    a, b = order + generator.normal(size=200) * 20, order + generator.normal(size=200) * 20
    value = spearman(a, b)
    assert value is not None
    assert value > 0.8
    assert abs(without_order(value, a, b)) < 0.2
