"""Which changes of a sweep file are possible when a sweep is resumed."""

from __future__ import annotations

from typing import Any

import pytest

from sweep.study.compatibility import incompatible_changes
from sweep.sweepfile import SweepSpec


def make_spec(**keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"min": 0, "max": 9}, "c": {"values": [0, 1]}},
            **keys,
        }
    )


@pytest.mark.parametrize(
    "keys",
    [
        {"stop": {"trials": 9}},
        {"max_parallel": 3},
        {"resources": {"cpu": 2}},
        {"pruner": "median"},
        {"sampler": "random"},
        {"trial": {"timeout": "1h"}},
    ],
)
def test_a_sweep_can_be_resumed_with_changes_to_how_it_runs(keys: dict[str, Any]) -> None:
    assert incompatible_changes(make_spec(), make_spec(**keys)) == []


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"objective": "b.py:f"}, "objective: a.py:f -> b.py:f"),
        ({"metric": {"name": "loss", "goal": "maximize"}}, "metric.goal: minimize -> maximize"),
        ({"sampler": "grid"}, "sampler.type: tpe -> grid"),
        ({"repeats": {"seeds": 3}}, "repeats: (absent) -> {'seeds': 3, 'reduce': 'mean'}"),
        ({"storage": "sqlite:///x"}, "storage: (absent) -> sqlite:///x"),
    ],
)
def test_a_sweep_cannot_be_resumed_with_changes_to_its_objective_or_metric(
    keys: dict[str, Any], line: str
) -> None:
    assert incompatible_changes(make_spec(), make_spec(**keys)) == [line]


def test_a_sweep_cannot_be_resumed_with_another_script() -> None:
    old = make_spec(objective=None, program="a.py")
    assert incompatible_changes(make_spec(), old) == [
        "objective: a.py:f -> (absent)",
        "program: (absent) -> a.py",
    ]
    assert incompatible_changes(old, make_spec(objective=None, program="b.py")) == ["program: a.py -> b.py"]
    commanded = make_spec(objective=None, program="a.py", command=["sh", "${program}"])
    assert incompatible_changes(old, commanded) == ["command: (absent) -> ['sh', '${program}']"]
    assert incompatible_changes(old, make_spec(objective=None, program="a.py", cwd="x", env={"A": 1})) == []


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"x": {"min": 0, "max": 8}}, "parameters.x.max: 9 -> 8"),
        ({"x": {"min": 0.0, "max": 9}}, "parameters.x.min: 0 -> 0.0"),
        ({"x": {"min": 1, "max": 9, "log": True}}, "parameters.x.log: False -> True"),
        ({"c": {"values": [False, True]}}, "parameters.c.values: [0, 1] -> [False, True]"),
        ({"c": {"values": [0.0, 1.0]}}, "parameters.c.values: [0, 1] -> [0.0, 1.0]"),
        ({"d": 3}, "parameters.d: (absent) -> {'value': 3}"),
    ],
)
def test_a_sweep_cannot_be_resumed_with_another_search_space(parameters: dict[str, Any], line: str) -> None:
    old = {"x": {"min": 0, "max": 9}, "c": {"values": [0, 1]}}
    assert line in incompatible_changes(make_spec(), make_spec(parameters={**old, **parameters}))


def test_a_sweep_cannot_be_resumed_with_other_seeds() -> None:
    old, new = make_spec(repeats={"seeds": [1, 2]}), make_spec(repeats={"seeds": [1, 3], "reduce": "max"})
    assert incompatible_changes(old, new) == [
        "repeats.seeds: [1, 2] -> [1, 3]",
        "repeats.reduce: mean -> max",
    ]


def test_an_exhaustive_sweep_cannot_be_resumed_in_another_order() -> None:
    grid, random = make_spec(sampler="grid"), make_spec(sampler="random")
    shuffled, other = (make_spec(sampler={"type": "brute_force", "seed": seed}) for seed in (1, 2))
    assert incompatible_changes(grid, random) == ["sampler.type: grid -> random"]
    assert incompatible_changes(random, shuffled) == ["sampler.type: random -> brute_force"]
    assert incompatible_changes(grid, shuffled) == ["sampler.type: grid -> brute_force"]
    assert incompatible_changes(shuffled, other) == ["sampler.seed: 1 -> 2"]
    assert incompatible_changes(shuffled, shuffled) == []
    forth, back = ({name: {"values": [1, 2]} for name in names} for names in ("xy", "yx"))
    for sampler, found in (("grid", ["parameters: their order: x, y -> y, x"]), ("tpe", [])):
        specs = [make_spec(sampler=sampler, parameters=parameters) for parameters in (forth, back)]
        assert incompatible_changes(*specs) == found


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ({"value": 1}, {"value": "1"}, "parameters.e.value: 1 -> '1'"),
        ({"value": True}, {"value": "True"}, "parameters.e.value: True -> 'True'"),
        ({"value": None}, {"value": "(absent)"}, "parameters.e.value: None -> '(absent)'"),
        ({"value": {"k": None}}, {"value": {}}, "parameters.e.value.k: None -> (absent)"),
    ],
    ids=str,
)
def test_a_change_of_a_values_type_is_shown(old: Any, new: Any, line: str) -> None:
    specs = [make_spec(parameters={"e": each, "x": {"min": 0, "max": 9}}) for each in (old, new)]
    assert incompatible_changes(*specs) == [line]


def test_a_sweep_cannot_be_resumed_with_reports_of_another_metric() -> None:
    metrics = [{"name": "loss", "goal": "minimize"}, {"name": "speed", "goal": "maximize"}]
    by_loss, by_speed, without = (
        make_spec(metrics=metrics, pruner=pruner)
        for pruner in (
            {"type": "median", "metric": "loss"},
            {"type": "median", "metric": "speed"},
            {"type": "none"},
        )
    )
    assert incompatible_changes(by_loss, by_speed) == ["pruner.metric: loss -> speed"]
    assert incompatible_changes(without, by_speed) == ["pruner.metric: loss -> speed"]
    assert incompatible_changes(without, by_loss) == []


def test_a_sweep_of_repeats_cannot_be_resumed_with_results_of_repeats_in_place_of_reports() -> None:
    median, wilcoxon = (make_spec(repeats=3, pruner=pruner) for pruner in ("median", "wilcoxon"))
    assert incompatible_changes(median, wilcoxon) == ["pruner.type: median -> wilcoxon"]
    assert incompatible_changes(wilcoxon, median) == ["pruner.type: wilcoxon -> median"]
    single = [make_spec(pruner=pruner) for pruner in ("median", "wilcoxon")]
    assert incompatible_changes(*single) == []
