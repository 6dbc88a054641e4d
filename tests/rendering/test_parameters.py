"""What a report has of the parameters."""

from __future__ import annotations

from pathlib import Path

from sweep.analysis.metric_model import MetricModel
from sweep.rendering.parameters import next_search, parameter_data
from sweep.sweepfile.yaml import read_value
from tests.measured_sweep import measured

UNIT = {"min": 0.0, "max": 1.0}


def test_a_range_with_a_text_beside_it_has_no_curve(tmp_path: Path) -> None:
    view = measured(
        tmp_path,
        {"d": {**UNIT, "or": ["auto"]}, "x": UNIT},
        lambda params: {"loss": (0.2 if params["d"] == "auto" else params["d"]) + params["x"]},
    )
    data = parameter_data(MetricModel(view))
    assert list(data["curves"]) == ["x"]
    assert {one["parameter"] for one in data["importance"]} == {"d", "x"}


def test_no_next_search_is_suggested_that_a_constraint_forbids(tmp_path: Path) -> None:
    """As if the trials had been run before the constraint was written."""
    view = measured(
        tmp_path, {"a": UNIT, "b": UNIT}, lambda params: {"loss": -params["a"] - params["b"]}, trials=80
    )
    free = next_search(MetricModel(view))
    assert free is not None
    lowest = [parameter["min"] for parameter in read_value(free.file)["parameters"].values()]
    assert sum(lowest) > 0.7
    constrained = view.as_spec(view.spec.model_copy(update={"constraints": ("a + b <= 0.7",)}))
    assert next_search(MetricModel(constrained)) is None
