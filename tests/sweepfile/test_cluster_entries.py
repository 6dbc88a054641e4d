"""The entries of a sweep file about a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.errors import InputError
from sweep.sweepfile import SweepSpec, parse_sweep_file
from sweep.sweepfile.cluster_entries import matches

BASE = """
name: demo
objective: a.py:f
metric: {name: loss, goal: minimize}
parameters: {x: {values: [1, 2]}}
"""


def load(more: str) -> SweepSpec:
    return parse_sweep_file(BASE + more, Path("demo.yaml")).spec


def test_custom_resources_and_labels_are_kept_in_the_directory() -> None:
    spec = load(
        "resources: {custom: {a100: 1, disk: 0.5}, labels: {region: [us, eu], spot: true, zone: '!b'}}"
    )
    assert spec.resources.custom == {"a100": 1, "disk": 0.5}
    assert spec.resources.labels == {"region": "in(us, eu)", "spot": "true", "zone": "!b"}
    assert parse_sweep_file(spec.to_yaml(), Path("demo.yaml")).spec == spec
    assert "custom" not in load("").to_yaml(), "as it was before there were any"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("custom: {GPU: 1}", "resources.custom.GPU: GPU is not a custom resource; write resources: {gpu: 1}"),
        ("custom: {a100: 1.5}", "resources.custom.a100: 1.5 is neither a share of one (up to 1) nor a whole"),
        ("custom: {a100: 0}", "resources.custom.a100: must be greater than 0"),
        ("custom: a100", "resources.custom: expected a mapping"),
        ("labels: {region: u s}", "resources.labels.region: expected a value such as us"),
        ("labels: {region: [1]}", "resources.labels.region: expected a value such as us"),
        ("labels: {'re gion': us}", "resources.labels.re gion: 're gion' cannot be the key of a label"),
    ],
)
def test_wrong_entries_are_one_error_each(entry: str, message: str) -> None:
    with pytest.raises(InputError) as found:
        load(f"resources: {{{entry}}}")
    assert message in str(found.value)


@pytest.mark.parametrize(
    ("selectors", "selected"),
    [
        ({}, [0, 1, 2]),
        ({"region": "us"}, [0]),
        ({"region": "!us"}, [1, 2]),
        ({"region": "in(us,eu)"}, [0, 1]),
        ({"region": "!in(us, eu)"}, [2]),
        ({"region": "in(us, eu)", "disk": "fast"}, [1]),
    ],
)
def test_labels_select_machines_as_in_ray(selectors: dict[str, str], selected: list[int]) -> None:
    machines: list[dict[str, Any]] = [{"region": "us"}, {"region": "eu", "disk": "fast"}, {}]
    assert [index for index, labels in enumerate(machines) if matches(labels, selectors)] == selected
