"""Validation of reported numbers and steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from sweep.trial.scalars import BadNumberError, as_number, as_step

HUGE = pytest.param(10**400, id="huge")


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.0,
        True,
        np.float32(1),
        np.array(1),
        np.array([1]),
        np.ones((1, 1)),
        torch.ones(1, requires_grad=True),
    ],
)
@pytest.mark.filterwarnings("error")
def test_numbers_of_python_numpy_and_torch_are_numbers(value: Any) -> None:
    assert as_number(value, "it") == 1.0
    assert type(as_number(value, "it")) is float


@pytest.mark.parametrize(
    "value", ["1", b"1", None, [1], 1j, torch.ones(2), np.ones(2), np.array(["1"]), np.array([None]), HUGE]
)
def test_a_value_that_is_not_a_float_is_an_error(value: Any) -> None:
    with pytest.raises(BadNumberError, match=r"^it is .{1,80}; it must be a number$"):
        as_number(value, "it")


@pytest.mark.parametrize("step", [3, 3.0, np.int64(3), np.float32(3), torch.tensor(3)])
def test_a_step_is_a_whole_number_of_any_type(step: Any) -> None:
    assert as_step(step) == 3
    assert type(as_step(step)) is int


@pytest.mark.parametrize("step", [-1, 0.5, 2**31, math.inf, -math.inf, math.nan, True, None, HUGE])
def test_a_step_that_tensorboard_cannot_show_is_an_error(step: Any) -> None:
    with pytest.raises(BadNumberError, match=r"^step is .*; it must be a whole number from 0 to \d+$"):
        as_step(step)


def test_a_step_can_be_unbounded_but_not_infinite() -> None:
    assert as_step(2**31, end=math.inf) == 2**31
    with pytest.raises(BadNumberError, match=r"^step is inf; it must be a whole number from 0$"):
        as_step(math.inf, end=math.inf)
