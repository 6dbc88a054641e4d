"""The summary that `sweep run` prints at the end."""

from __future__ import annotations

from typing import Any

import pytest

import sweep
from tests.conftest import MakeSweep

FAILS_ONCE = """
    def train(trial):
        if trial.number == 0:
            raise ValueError("no")
        return 1.0
"""


@pytest.mark.parametrize(
    ("stop", "is_advised"),
    [({"trials": 3}, True), ({"failures": 1}, True), ({"plateau": 1}, False), ({"target": 2.0}, False)],
)
def test_a_retry_is_advised_only_where_it_would_run(
    make_sweep: MakeSweep, capsys: pytest.CaptureFixture[str], stop: dict[str, Any], is_advised: bool
) -> None:
    sweep.run(make_sweep(FAILS_ONCE, stop=stop), inline=True, progress=True)
    shown = capsys.readouterr().out
    assert "demo/trial-0000/error.txt" in shown
    assert ("sweep retry" in shown) == is_advised
