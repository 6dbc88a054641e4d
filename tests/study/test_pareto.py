"""The Pareto front."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.study import pareto
from sweep.study.pareto import is_on_front


@given(st.lists(st.tuples(*[st.sampled_from([-np.inf, -1.0, 0.0, 1.0, np.inf])] * 3), max_size=12))
def test_the_front_is_what_no_other_point_dominates(points: list[tuple[float, ...]]) -> None:
    def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert list(is_on_front(np.array(points).reshape(-1, 3))) == expected


@pytest.mark.parametrize("goals", [1, 2, 3, 4])
def test_the_front_is_the_same_in_blocks_of_any_size(goals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(1).integers(0, 6, (300, goals)).astype(float)
    expected = list(is_on_front(points))
    assert True in expected
    for block in (1, 7, 1000):
        monkeypatch.setattr(pareto, "_BLOCK", block)
        assert list(is_on_front(points)) == expected


@pytest.mark.parametrize("goals", [3, 4])
def test_ten_thousand_points_can_all_be_on_the_front(goals: int) -> None:
    points = -np.abs(np.random.default_rng(1).normal(size=(10_000, goals)))
    points /= np.linalg.norm(points, axis=1)[:, None]
    assert is_on_front(points).all()
