"""What `explain` says about failures: their reasons, and the regions in which they happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import planted_health
import pytest

from sweep.analysis.failure_health import failure_statements
from sweep.analysis.failure_regions import Region, columns_of, find_regions, round_between
from sweep.analysis.fisher import at_least
from sweep.analysis.view import SweepView
from sweep.controller.controller import Controller
from sweep.messages import Outcome
from sweep.system.directory import SweepDirectory
from tests.analysis.test_timeline import make_spec

FAILURES = [name for name, case in planted_health.CASES.items() if case.curve is None]


@pytest.mark.parametrize("name", FAILURES)
def test_the_region_in_which_trials_fail_is_found_and_no_other(name: str) -> None:
    case = planted_health.CASES[name]
    for seed in (0, 1):
        said = planted_health.said_about(case, seed)
        assert case.is_right(said), [one.text for one in said]


def regions(params: Sequence[Mapping[str, Any]], failed: Sequence[bool], **how: Any) -> list[Region]:
    has_failed = np.array(failed)
    options: dict[str, Any] = {"chance": 0.05, "is_adaptive": False, **how}
    return list(find_regions(columns_of(params), has_failed, np.ones_like(has_failed), **options))


def test_choices_that_look_alike_are_different() -> None:
    values: list[Any] = [1, True, 1.0, "1", None, [1, 2]] * 12
    (found,) = regions([{"kind": value} for value in values], [value is True for value in values])
    assert found.value is True
    assert (found.failed, found.trials, found.failed_elsewhere, found.trials_elsewhere) == (12, 12, 0, 60)


def test_the_values_of_a_list_can_fail() -> None:
    values: list[Any] = [[1, 2], [3], [4, 5]] * 12
    (found,) = regions([{"sizes": value} for value in values], [value == [3] for value in values])
    assert found.value == [3]


def test_a_parameter_is_compared_where_it_is_active() -> None:
    params = [
        {"optimizer": "lion", "beta": index / 40} if index % 2 else {"optimizer": "sgd"}
        for index in range(80)
    ]
    (found,) = regions(params, [trial["optimizer"] == "lion" for trial in params])
    assert (found.name, found.value) == ("optimizer", "lion"), "any beta fails, and none would without it"


@pytest.mark.parametrize(
    ("fails", "relation", "value"),
    [
        (lambda x: x >= 20, ">=", 20),
        (lambda x: x <= 9, "<=", 9),
    ],
)
def test_the_bound_of_an_integer_is_one_of_its_values(fails: Any, relation: str, value: int) -> None:
    (found,) = regions([{"x": x} for x in range(40)], [fails(x) for x in range(40)])
    assert (found.relation, found.value) == (relation, value)


def test_a_threshold_has_few_digits() -> None:
    assert round_between(0.0283, 0.0331) == 0.03
    assert round_between(-0.2, 0.1) == -0.05
    assert round_between(123.4, 131.0) == 130.0
    assert round_between(1.0, np.nextafter(1.0, 2.0)) is None
    low, high = 0.123456, 0.123458
    found = round_between(low, high)
    assert found is not None
    assert low < found < high


def test_numbers_and_texts_in_one_parameter_are_compared_separately() -> None:
    values: list[Any] = [*("auto" for _ in range(20)), *(index / 40 for index in range(40))]
    (found,) = regions([{"x": value} for value in values], [value == "auto" for value in values])
    assert (found.relation, found.value) == ("=", "auto")
    (found,) = regions(
        [{"x": value} for value in values], [value != "auto" and value > 0.5 for value in values]
    )
    assert found.relation == ">"
    assert 0.5 <= found.value < 0.525


def test_failures_of_one_hour_are_no_region_although_the_sampler_tried_one_region_then() -> None:
    failed = [30 <= index < 54 for index in range(90)]
    params = [
        {"x": 0.8 + index % 7 / 35 if has_failed else index % 10 / 10}
        for index, has_failed in enumerate(failed)
    ]
    assert regions(params, failed, is_adaptive=True) == []
    assert regions(params, failed, is_adaptive=False) != []


def test_the_p_value_is_that_of_fishers_exact_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    for hits, drawn, marked, total in [(3, 3, 3, 10), (5, 8, 9, 30), (0, 4, 5, 20), (40, 50, 60, 200)]:
        table = [[hits, drawn - hits], [marked - hits, total - drawn - marked + hits]]
        expected = stats.fisher_exact(table, alternative="greater").pvalue
        assert at_least(hits, drawn, marked, total) == pytest.approx(expected, rel=1e-9)


def run(directory: SweepDirectory, reasons: Sequence[str], **keys: Any) -> SweepView:
    """A sweep whose trials fail with these reasons; those with none are complete."""
    spec = make_spec(stop={"trials": len(reasons), "failures": "unlimited"}, **keys)
    directory.spec.write_text(spec.to_yaml())
    controller = Controller(spec, directory, slots=1)
    for reason in reasons:
        assignment = controller.next_step(None).assignment
        assert assignment is not None
        kind: Any = "error" if reason else "returned"
        controller.finish(Outcome(assignment.number, 1, kind, 0.5, reason=reason))
    return SweepView(directory)


def test_failures_are_counted_by_their_reason(directory: SweepDirectory) -> None:
    view = run(directory, ["", "loss is 1.5", "no file", "loss is 7", "", "", "loss is 3"])
    first, second = failure_statements(view)
    assert first.text == "4 of 7 trials failed: 3 with loss is 1.5; 1 with no file."
    assert first.data["reasons"] == [
        {"reason": "loss is 1.5", "count": 3, "trial": 1},
        {"reason": "no file", "count": 1, "trial": 2},
    ]
    assert second.key == "failures_unclear", "four failures say nothing about regions"


def test_exit_statuses_are_different_reasons(directory: SweepDirectory) -> None:
    first, _ = failure_statements(run(directory, ["exit status 1", "exit status 2", "exit status 1", ""]))
    assert first.text == "3 of 4 trials failed: 2 with exit status 1; 1 with exit status 2."


def test_that_all_trials_failed_is_no_region(directory: SweepDirectory) -> None:
    (statement,) = failure_statements(run(directory, ["it broke"] * 8))
    assert statement.text == "All 8 trials failed: it broke."


def test_a_failed_trial_that_was_run_again_counts_once(directory: SweepDirectory) -> None:
    view = run(directory, ["it broke", ""])
    controller = Controller(view.spec, directory, slots=1)
    controller.resubmit([0])
    assignment = controller.next_step(None).assignment
    assert assignment is not None
    controller.finish(Outcome(assignment.number, 1, "returned", 0.5))
    assert failure_statements(SweepView(directory)) == []


def test_a_sweep_without_failures_has_no_statement_about_them(directory: SweepDirectory) -> None:
    assert failure_statements(run(directory, ["", ""])) == []


def test_a_reason_cannot_control_the_terminal_or_fill_the_screen(directory: SweepDirectory) -> None:
    (first, *_) = failure_statements(run(directory, ["\x1b[2J\r\nx" + "y" * 500, ""]))
    assert first.text.isprintable()
    assert len(first.text) < 130
