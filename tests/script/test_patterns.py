"""Regular expressions that find metrics in the output of a script."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

import sweep
from tests.script.conftest import MakeScript, run


@pytest.mark.process
def test_a_regular_expression_finds_metrics_in_lines_and_progress_bars(make_script: MakeScript) -> None:
    file = make_script(
        r"""
        import sys
        print("epoch 1: loss=9, val_loss=0.50, took 3 s")
        sys.stderr.write("\repoch 2: 10%\repoch 2: val_loss=0.4,\repoch 3: val_loss: 1e-1]")
        sys.stderr.flush()
        print("epoch x: val_loss=none")
        """,
        metrics_from={"regex": r"epoch (?P<step>\d+):.*val_loss[=:] ?(?P<val_loss>\S+)"},
    )
    assert run(file).study.trials[0].intermediate_values == {1: 0.5, 2: 0.4, 3: 0.1}


@pytest.mark.process
def test_a_mapping_allows_any_metric_name_and_steps_can_be_on_separate_lines(
    make_script: MakeScript,
) -> None:
    file = make_script(
        """
        for epoch in range(2):
            print("Epoch", epoch)
            print("  loss:", epoch + 0.5, " acc 90%")
        """,
        metric={"name": "val/loss", "goal": "minimize"},
        metrics_from={"regex": {"val/loss": r"loss: (\S+)", "acc": r"acc (?P<value>\S+)"}},
    )
    trial = run(file).trials[0]
    assert trial.metrics["acc"] == 90
    assert trial.value == 1.5


@pytest.mark.process
def test_an_expression_that_takes_too_long_fails_the_trial(
    make_script: MakeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.script.patterns._TIMEOUT", 0.3)
    file = make_script(
        "print('a' * 60); import time; time.sleep(600)", metrics_from={"regex": "(?P<val_loss>(a+)+)$b"}
    )
    begin = time.monotonic()
    trial = run(file).trials[0]
    assert "takes more than 0.3 s for the line 'aaa" in str(trial.reason)
    assert time.monotonic() - begin < 120


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        (
            "loss=(",
            "metrics_from.regex: 'loss=(' is not a regular expression: missing ), unterminated subpattern",
        ),
        ("loss=(.*)", "'loss=(.*)' has no named group; name groups after metrics"),
        ("(?P<val_los>.*)", "metrics_from.regex: does not find 'val_loss'; did you mean 'val_los'?"),
        ({"val_loss": "loss="}, "metrics_from.regex.val_loss: 'loss=' has no group for the value"),
        ({}, "metrics_from.regex: is empty"),
        ([1], "metrics_from.regex.0: expected a string, got 1"),
        (3, "metrics_from.regex: expected a list"),
        ({"val_loss": 3}, "metrics_from.regex.val_loss: expected a string, got 3"),
    ],
)
def test_an_invalid_expression_is_an_error_with_its_line(
    make_script: MakeScript, regex: Any, message: str
) -> None:
    with pytest.raises(sweep.InputError, match=re.escape(message)) as error:
        run(make_script("", metrics_from={"regex": regex}))
    assert re.match(r".*demo.yaml:\d+: ", str(error.value))
    assert "\n" not in str(error.value)


@pytest.mark.process
def test_the_last_state_of_a_progress_bar_counts_for_each_step(make_script: MakeScript) -> None:
    file = make_script(
        r"""
        import sys
        for epoch in range(2):
            for batch in range(100):
                loss = 10 - epoch - batch / 100
                sys.stderr.write("\rEpoch %d: %d%% loss=%.2f val_loss=%.2f" % (epoch, batch, batch, loss))
            if epoch == 0:
                sys.stderr.write("\nEpoch 0 acc=0.5\n")
        """,
        metrics_from={"regex": [r"Epoch (?P<step>\d+)", r"val_loss=(?P<val_loss>\S+)", r"acc=(?P<acc>\S+)"]},
    )
    result = run(file)
    assert result.study.trials[0].intermediate_values == {0: 9.01, 1: 8.01}
    assert result.trials[0].metrics["acc"] == 0.5
