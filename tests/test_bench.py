"""`scripts/bench.py`: what it runs, in which order, and what its tables show. No test checks a time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import bench
import pytest
from benchmark import contestants, job
from benchmark.case import Case, Column, Values
from benchmark.contestants import TITLES
from benchmark.measurements import MEASUREMENTS
from benchmark.measurements.busy import shares
from benchmark.measurements.cost import cost
from benchmark.table import table
from benchmark.work import Span, Work, count_spans, lost_reports, read_spans, times_file, train

MS = Column("random", "random", "ms", ratio=True)


def case(contestant: str, label: str = "random") -> Case:
    return Case("a", contestant, label, Work(4))


def test_a_table_shows_medians_and_ratios_to_this_project() -> None:
    runs = {case("sweep"): [{"ms": 9.0}, {"ms": 10.0}, {"ms": 30.0}], case("tune"): [{"ms": 1250.0}]}
    assert table(TITLES, [MS], runs).splitlines() == [
        "| | random |",
        "|---|---|",
        "| sweep | 10.0 |",
        "| Ray Tune | 1250.0 (125 times) |",
    ]


def test_a_cell_without_a_value_has_a_footnote_that_says_why() -> None:
    columns = [MS, replace(MS, label="tpe"), replace(MS, label="torch")]
    runs = {
        case("sweep"): [{"ms": 10.0}],
        case("syne"): ["syne-tune is not installed"],
        case("syne", "tpe"): ["not finished within 9 s", "not finished within 9 s"],
    }
    assert table(TITLES, columns, runs).splitlines()[2:] == [
        "| sweep | 10.0 | - | - |",
        "| Syne Tune | - (1) | - (2) | - |",
        "",
        "1. syne-tune is not installed",
        "2. not finished within 9 s",
    ]


def test_a_repetition_that_failed_does_not_count_for_the_median() -> None:
    assert "| sweep | 11.0 |" in table(TITLES, [MS], {case("sweep"): [{"ms": 10.0}, "failed", {"ms": 12.0}]})


def test_the_cost_of_a_trial_does_not_contain_the_start_of_the_workers() -> None:
    # Two slots, a trial each second on both of them.
    spans = [Span(start, start + 0.9, 0.0) for start in (0, 0, 1, 1, 2, 2)]
    assert cost(spans, slots=2) == {"ms": 500.0, "trials": 6}


def test_the_share_of_training_counts_the_slots_start_and_the_steady_share_does_not() -> None:
    # Two slots. The second starts two seconds late. Each trial trains half of its time.
    spans = [Span(0, 2, 1.0), Span(2, 4, 1.0), Span(2, 4, 1.0), Span(4, 6, 1.0), Span(4, 6, 1.0)]
    assert shares(spans, slots=2, seconds=10.0) == {"overall": 0.25, "steady": 0.5}


@pytest.mark.parametrize(
    ("history", "lost"),
    [
        ([6.0, 3.0, 2.0], 0),
        ([6.0, 3.0], 1),
        ([6.0, 2.0, 3.0], 2),  # the second and the third are not at their places
        ([], 3),
    ],
)
def test_missing_and_misplaced_reports_are_counted_as_lost(history: list[float], lost: int) -> None:
    assert lost_reports(Work(2, reports=3), [[3.0, 1.5, 1.0], history]) == lost


def test_a_trial_reports_as_often_as_the_work_says_and_stops_when_it_is_pruned(tmp_path: Path) -> None:
    reports: list[tuple[float, int]] = []
    work = Work(1, reports=3, verdicts=True)
    times = times_file(tmp_path)
    train(work, 0.5, lambda *report: reports.append(report), lambda: len(reports) == 2, times)
    train(replace(work, verdicts=False), 0.5, lambda *report: None, lambda: True, times)
    assert reports == [(1.0, 0), (0.5, 1)]
    assert len(read_spans(tmp_path)) == count_spans(tmp_path) == 2


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("trials", [None, 100_000])
@pytest.mark.parametrize("letter", MEASUREMENTS)
def test_each_case_of_a_measurement_is_in_its_tables(letter: str, trials: int | None, quick: bool) -> None:
    cases = MEASUREMENTS[letter].cases(quick, trials)
    shown = {column.label for columns in MEASUREMENTS[letter].tables.values() for column in columns}
    assert {case.label for case in cases} <= shown
    assert {case.contestant for case in cases} <= set(TITLES)
    assert cases[0].contestant == "sweep"
    assert [Case.from_json(case.to_json()) for case in cases] == list(cases)


def test_the_number_of_trials_is_for_sweeps_without_reports_and_peers_run_fewer() -> None:
    works = {case.contestant: case.work for case in MEASUREMENTS["e"].cases(False, 100_000)}
    assert {name: work.trials for name, work in works.items()} == {
        "sweep": 100_000,
        "tune-reuse": 2_000,
        "optuna": 2_000,
    }
    assert {work.reports for work in works.values()} == {0}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """The cases that are measured, in their order; nothing runs."""
    cases: list[Case] = []

    def measure(case: Case, folder: Path, limit: float) -> Values | str:
        cases.append(case)
        return {"seconds": float(len(cases))}

    monkeypatch.setattr(job, "measure", measure)
    monkeypatch.setattr(contestants, "find_spec", lambda module: None if module == "syne_tune" else module)
    return cases


def test_contestants_take_turns_in_each_repetition(measured: list[Case], tmp_path: Path) -> None:
    bench.measure("c", bench.parse(["c"]), tmp_path)
    names = [case.contestant for case in measured]
    assert names == ["sweep", "ray", "tune", "optuna", "sweep", "ray", "tune"] * 3


def test_what_takes_long_is_measured_once(measured: list[Case], tmp_path: Path) -> None:
    bench.measure("e", bench.parse(["--repetitions", "5"]), tmp_path)
    assert len(measured) == len(set(measured))


def test_a_contestant_that_is_not_installed_is_a_footnote(measured: list[Case], tmp_path: Path) -> None:
    text = bench.markdown("c", bench.measure("c", bench.parse(["--quick"]), tmp_path))
    assert "| Syne Tune | - (1) | - |" in text
    assert "1. syne-tune is not installed: `pip install -e '.[bench]'`" in text
    assert not any(case.contestant == "syne" for case in measured)


def test_all_values_are_written_as_json(measured: list[Case], tmp_path: Path) -> None:
    runs = bench.measure("c", bench.parse(["--repetitions", "2"]), tmp_path)
    found = json.loads(bench.as_json("a machine", {"c": runs}))
    assert found["machine"] == "a machine"
    assert found["cases"][0]["contestant"] == "sweep"
    assert found["cases"][0]["values"] == [{"seconds": 1.0}, {"seconds": 8.0}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "z"], "z: is not a measurement; choose from a, b, c, d, e, f, g"),
        (["--repetitions", "0"], "--repetitions: 0: has to be at least 1"),
        (["--trials", "many"], "--trials: invalid number value: 'many'"),
        (["--json", "no/such/folder"], "--json no/such/folder: cannot be written"),
    ],
)
def test_a_wrong_argument_is_one_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        bench.parse(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.process
def test_a_case_runs_in_a_process_and_returns_its_values(tmp_path: Path) -> None:
    found = job.measure(Case("a", "sweep", "random", Work(4)), tmp_path, 300)
    assert isinstance(found, dict), found
    assert found["trials"] == 4
    assert found["ms"] > 0


@pytest.mark.process
def test_a_case_that_fails_returns_the_error(tmp_path: Path) -> None:
    found = job.measure(Case("a", "nobody", "random", Work(2)), tmp_path, 300)
    assert found == "failed: KeyError: 'nobody'"
