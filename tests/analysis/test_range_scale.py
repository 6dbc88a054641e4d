"""Ranges that are wider at one end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.analysis.range_scale import RangeScale, widened_bound
from sweep.sweepfile.parameters import Range


@pytest.mark.parametrize(
    ("entries", "lower", "upper"),
    [
        ({"min": 1, "max": 5}, None, 7),  # fewer than one layer is no network
        ({"min": 1, "max": 64, "log": True}, None, 512),
        ({"min": 16, "max": 128, "log": True}, 6, 362),
        ({"min": 0, "max": 10}, None, 15),
        ({"min": -10, "max": 10}, -20, 20),
        ({"min": -20, "max": -10}, -25, -5),
        ({"min": 16, "max": 128, "step": 16}, None, 176),
        ({"min": 48, "max": 128, "step": 16}, 16, 176),
        ({"min": 0.0, "max": 1.0}, None, None),
        ({"min": 1000.0, "max": 1010.0}, 995.0, 1015.0),
        ({"min": 0.001, "max": 0.1}, 0.0, 0.1495),
        ({"min": 1e-4, "max": 1e-2, "log": True}, 1e-5, 0.1),
        ({"min": 0.5, "max": 2.0, "step": 0.5}, 0.0, 2.5),
        ({"min": 0.3, "max": 1.3, "step": 0.5}, None, 1.8),
        ({"min": 3, "max": 3}, None, None),
    ],
)
def test_a_range_becomes_wider_by_half_unless_its_bound_is_a_natural_limit(
    entries: dict[str, Any], lower: Any, upper: Any
) -> None:
    parameter = Range(**entries)
    assert widened_bound(parameter, is_upper=False) == lower
    assert widened_bound(parameter, is_upper=True) == upper


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_a_widened_range_is_valid_and_contains_the_old_one(
    low: float, width: float, is_log: bool, is_int: bool, is_upper: bool
) -> None:
    low, high = (int(low) + 1, int(low + width) + 2) if is_int else (low, low + width)
    if low == high:
        return
    parameter = Range(min=low, max=high, log=is_log)
    bound = widened_bound(parameter, is_upper)
    if bound is None:
        return
    wider = Range(
        min=parameter.min if is_upper else bound, max=bound if is_upper else parameter.max, log=is_log
    )
    assert wider.min <= parameter.min
    assert parameter.max <= wider.max
    assert wider.is_int == parameter.is_int


def test_positions_and_values_are_inverse() -> None:
    scale = RangeScale(Range(min=1e-4, max=1e-2, log=True))
    assert scale.position(1e-3) == pytest.approx(0.5)
    assert [scale.value(position) for position in (0, 0.5, 1)] == [1e-4, 1e-3, 1e-2]
