"""Filters and orders of trials."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sweep
from sweep.analysis.query import Order, SweepTrials, select
from sweep.analysis.view import SweepView
from sweep.errors import InputError
from sweep.operations import enqueue
from sweep.sweepfile.expressions import Expression

ROWS = [
    {"opt": "adam", "lr": 0.1},
    {"opt": "sgd", "lr": 0.01, "sgd.momentum": 0.9},
    {"opt": "sgd", "lr": 0.2, "sgd.momentum": 0.5},
    {"opt": "adam", "lr": 0.001},
]


def train(trial: Any) -> float:
    """Fails in the last trial; its metric is not reported, what it logs has a name with `/`."""
    trial.log({"val/acc": 1 - trial.params.lr}, 0)
    if trial.number == 3:
        raise ValueError("no luck")
    return float(trial.params.lr * 10)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> SweepView:
    runs = tmp_path_factory.mktemp("runs")
    sweep.run(
        train,
        space={
            "opt": {"values": ["adam", "sgd"]},
            "lr": {"min": 1e-4, "max": 1.0, "log": True},
            "sgd": {"when": {"opt": "sgd"}, "parameters": {"momentum": {"min": 0.0, "max": 1.0}}},
            "a/b": {"values": [1, "auto", None]},
        },
        name="demo",
        goal="minimize",
        sampler="random",
        n_trials=len(ROWS),
        enqueue=[{**row, "a/b": choice} for row, choice in zip(ROWS, [1, "auto", None, 1], strict=True)],
        inline=True,
        progress=False,
        runs=runs,
    )
    return SweepView.open("demo", runs)


def numbers(
    view: SweepView, where: str | None = None, sort: str | None = None, reverse: bool = False
) -> list[int]:
    order = None if sort is None else Order.parse(sort, reverse)
    (rows,) = select([SweepTrials(view)], where, order)
    return [row.number for row in rows]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("lr < 0.15 and opt == 'adam'", {0, 3}),
        ("sgd.momentum > 0.6", {1}),
        ("not sgd.momentum > 0.6", {2}),
        ("sgd.momentum > 0.6 or opt == 'adam'", {0, 1, 3}),
        ("value >= 1", {0, 2}),
        ("state == 'FAIL'", {3}),
        ("state in ['FAIL', 'PRUNED'] or number == 1", {1, 3}),
        ("duration < 1000", {0, 1, 2, 3}),
        ("params['a/b'] == None", {2}),
        ("params['a/b'] < 2", {0, 3}),
        ("metrics['val/acc'] > 0.95", {1, 3}),
        ("log(lr, 10) < -1.5", {1, 3}),
    ],
)
def test_a_condition_can_use_what_a_trial_has(view: SweepView, where: str, expected: set[int]) -> None:
    assert set(numbers(view, where)) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("lrr < 1", r"--where: lrr: .*; did you mean 'lr'\?"),
        ("metrics['val/ac'] < 1", r"--where: metrics.val/ac: .*; did you mean 'val/acc'\?"),
        ("val_acc < 1", r"--where: val_acc: .*; did you mean metrics\[\"val/acc\"\]\?"),
        ("val/acc < 1", r"--where: val: .*; did you mean metrics\[\"val/acc\"\]\?"),
        ("opt < 1", "--where: opt < 1: compares '(adam|sgd)' with 1"),
        ("lr", "--where: lr: is [0-9.]+, neither true nor false; add a comparison"),
        ("lr <", "--where: 'lr <' is not an expression; write for example"),
        ("lr = 0.1", "--where: 'lr = 0.1' is not an expression; compare with =="),
        ("open('x')", "--where: .* is not allowed"),
    ],
)
def test_an_invalid_condition_is_one_error(view: SweepView, where: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        numbers(view, where)


def test_without_an_order_the_best_are_first_and_failed_ones_last(view: SweepView) -> None:
    assert numbers(view) == [1, 0, 2, 3]


def test_without_an_order_complete_trials_come_before_pruned_ones_and_those_before_failed_ones(
    tmp_path: Path,
) -> None:
    def train(trial: Any) -> float:
        trial.report(trial.number, 0)  # the best values are those of trials that are not complete
        if trial.number == 0:
            raise ValueError("no luck")
        if trial.number == 1:
            raise sweep.TrialPruned
        return float(trial.number)

    sweep.run(train, name="demo", goal="minimize", n_trials=4, inline=True, progress=False, runs=tmp_path)
    directory = SweepView.open("demo", tmp_path).directory
    directory.spec.write_text(directory.spec.read_text().replace("trials: 4", "trials: 5"))
    enqueue(SweepView(directory), {"x": 1.0})
    assert numbers(SweepView(directory)) == [2, 3, 1, 4, 0]


def test_an_order_is_ascending_and_what_a_trial_does_not_have_is_last_in_both_directions(
    view: SweepView,
) -> None:
    assert numbers(view, sort="lr") == [3, 1, 0, 2]
    assert numbers(view, sort="-lr") == numbers(view, sort="lr", reverse=True) == [2, 0, 1, 3]
    assert numbers(view, sort="-lr", reverse=True) == [3, 1, 0, 2]
    assert numbers(view, sort="sgd.momentum")[:2] == [2, 1]
    assert numbers(view, sort="-sgd.momentum")[:2] == [1, 2]
    assert numbers(view, sort="val/acc") == [2, 0, 1, 3]
    assert numbers(view, sort="-params.a/b")[0] == 1
    with pytest.raises(InputError, match=r"--sort: durations: .*; did you mean 'duration'\?"):
        numbers(view, sort="durations")


def test_nan_is_last_in_both_directions(tmp_path: Path) -> None:
    def train(trial: Any) -> float:
        trial.log({"acc": [2.0, math.nan, 1.0][trial.number]}, 0)
        return 0.0

    sweep.run(train, name="demo", n_trials=3, inline=True, progress=False, runs=tmp_path)
    view = SweepView.open("demo", tmp_path)
    assert numbers(view, sort="acc") == [2, 0, 1]
    assert numbers(view, sort="-acc") == [0, 2, 1]


def test_chosen_trials_keep_their_order(view: SweepView) -> None:
    (rows,) = select([SweepTrials(view, [2, 0, 2, 1])])
    assert [row.number for row in rows] == [2, 0, 1]
    with pytest.raises(InputError, match="has no trial 4; it has 4 trials"):
        SweepTrials(view, [4])


CONDITIONS = [f"{name} {sign} {bound}" for name in "abc" for sign in ("<", ">=", "==") for bound in (0, 1, 2)]


def expressions() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(CONDITIONS),
        lambda inner: st.one_of(
            st.builds("not ({})".format, inner),
            st.builds("({}) and ({})".format, inner, inner),
            st.builds("({}) or ({})".format, inner, inner),
        ),
        max_leaves=8,
    )


@given(expressions(), st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)))
def test_a_condition_agrees_with_python_if_nothing_is_missing(text: str, values: dict[str, int]) -> None:
    complete = {"a": 0, "b": 1, "c": 2, **values}
    assert Expression(text).matches(complete) is eval(text, {}, complete)


@given(expressions(), st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)))
def test_a_trial_that_matches_would_match_with_any_values_of_what_it_does_not_have(
    text: str, values: dict[str, int]
) -> None:
    negated = f"not ({text})"
    matches, fails = Expression(text).matches(values), Expression(negated).matches(values)
    assert not (matches and fails)
    for filler in (-1, 1, 3):
        complete = {**dict.fromkeys("abc", filler), **values}
        if matches or fails:
            assert eval(text, {}, complete) is matches
