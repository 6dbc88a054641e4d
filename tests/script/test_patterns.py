"""Regular expressions that find metrics in the output of a script."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import sweep
from sweep.script.patterns import Patterns
from sweep.script.printed_number import read_number
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


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.25,", 0.25),
        ("1,234.5", 1234.5),
        ("12,345,678 tokens", 12345678),
        ("1_000", 1000),
        ("1'234", 1234),
        ("1\u202f234.5", 1234.5),
        ("\u22120.5", -0.5),
        ("+1e-3", 1e-3),
        ("1.5D+03", 1500),
        (".5.", 0.5),
        ("-inf", float("-inf")),
        ("NaN", float("nan")),
        ("90%", 90),
        ("0.5s", 0.5),
        ("12.3k", 12300),
        ("1.2M", 1.2e6),
        ("12.3kB/s", 12.3),
        ("3/10", 3),
        ("5 100%", 5),
        ("1.234", 1.234),
        ("0.5,0.6", 0.5),
        ("1,5", None),
        ("0,250", None),
        ("1,2345", None),
        ("1234,567", None),
        ("1.234,5", None),
        ("1.234.567", None),
        ("1 234", None),
        ("1:23", None),
        ("0x1f", None),
        ("10B", None),
        ("1.5x10^3", None),
        ("none", None),
        ("tensor(0.5)", None),
        ("", None),
    ],
)
def test_a_number_is_read_as_it_is_printed_and_an_ambiguous_one_is_not(
    text: str, number: float | None
) -> None:
    assert read_number(text) == pytest.approx(number, nan_ok=True)


@pytest.mark.parametrize(
    ("regex", "line", "expected"),
    [
        (r"step (?P<step>\d+): loss=(?P<loss>[\d.]+)", "step 1,000: loss=1,234.5", None),
        (r"step (?P<step>\d+).*loss=(?P<loss>[\d.]+)", "step 1,000: loss=1,234.5", (1000, 1234.5)),
        (r"step (?P<step>[\d,]+): loss=(?P<loss>\S+)", "step 1,000: loss=1,234.5, acc", (1000, 1234.5)),
        (r"(?P<step>\d+) steps loss=(?P<loss>[\d.]+)", "at 12,000 steps loss=0.5", (12000, 0.5)),
        (r"(?P<step>\d+),\d+,(?P<loss>[\d.]+)", "5,100,0.25", (5, 0.25)),
        (r"loss=(?P<loss>[\d.]+)", "loss=1.5e-05, acc", (None, 1.5e-05)),
        (r"loss\D+(?P<loss>[\d.]+)", "loss: -0.5", (None, -0.5)),
        (r"loss\D+(?P<loss>[\d.]+)", "loss - 0.5", (None, 0.5)),
        (r"best-(?P<loss>[\d.]+)", "best -0.5, best-0.5", (None, 0.5)),
        (r"loss (?P<loss>[\d.]+)", "loss 12.3k", (None, 12300)),
        (r"loss (?P<loss>[\d.]+)k", "loss 12.3k", (None, 12.3)),
        (r"loss (?P<loss>\d+).*", "loss 90.5%", (None, 90.5)),
        (r"loss (?P<loss>\d+)\.\d", "loss 90.5%", (None, 90)),
        (r"loss=(?P<loss>\d+)", "loss=1,5", None),
        (r"loss=(?P<loss>-?\d+)", "loss=-1,234", (None, -1234)),
        (r"loss=(?P<loss>.+?),", "loss=1,234.5, acc=3", (None, 1234.5)),
        (r"loss=(?P<loss>[^,\]]+)[,\]]", "[acc=3, loss=1,234.5]", (None, 1234.5)),
        (r"(?P<step>\d+), (?P<loss>[\d.]+)", "1,500, 2,500.25", (1500, 2500.25)),
        (r"(?P<step>\d+),(?P<loss>\d+)", "3,12,500", (3, 12)),
        (r"^(?P<step>\d+),(?P<loss>[\d.]+)", "2,9.5e-05", (2, 9.5e-05)),
        (r"step_(?P<step>\d+) loss (?P<loss>[\d.]+)", "step_3 loss 1e-05", (3, 1e-05)),
        (r"(?P<step>\d+)epochs? loss=(?P<loss>[\d.]+)", "12epochs loss=1e-05", (12, 1e-05)),
        (r"(?P<step>\d+)k? steps, loss (?P<loss>[\d.]+)", "12k steps, loss 1e-05", (12000, 1e-05)),
        (r"(?P<step>\d+)k steps, loss (?P<loss>[\d.]+)", "12k steps, loss 1.5k", (12, 1500)),
        (r"loss.(?P<loss>[\d.]+)", "loss=1,234.5", (None, 1234.5)),
        (r"loss[=,](?P<loss>[\d.]+)", "loss=1,234.5", (None, 1234.5)),
        (r"val_(?P<loss>[\d.]+)", "val_1_000", (None, 1000)),
        (r"(?P<step>\d+)_(?P<loss>\d+)", "3_500", (3, 500)),
        (r"(?P<step>\d+)\s*,\s*(?P<loss>\d+)", "5,100", (5, 100)),
        (r"(?P<step>\d+)\s*,\s*(?P<loss>\d+)", "5, 12,500", (5, 12500)),
        (r"(?P<step>\d+)[,;](?P<loss>\d+)", "5,100", (5, 100)),
        (r"((?P<step>\d+)(,)((?P<loss>\d+)))", "5,100", (5, 100)),
        (r"(?P<step>\d+)[^\d](?P<loss>\d+)", "5,100", (5, 100)),
        (r"(?P<step>\d+)\D+(?P<loss>[\d.]+)", "5 -0.5", (5, -0.5)),
        (r"(?:(?P<step>\d+),)?(?P<loss>\d+)", "5,100", (5, 100)),
        (r"(?:[^,]*,){3}(?P<loss>[\d.]+)", "1,200,0.5,300", (None, 300)),
        (r"loss=(?P<loss>.+?)(?:,|$)", "loss=1,234.5, acc=3", (None, 1234.5)),
        (r"loss=(?P<loss>.+?), *", "loss=1,234.5, acc=3", (None, 1234.5)),
        (r"\(\[[)](?P<step>[(\]\d]+)\)-(?P<loss>(\d)+)\.\d", "([)5)-90.5", (5, 90)),
    ],
)
def test_an_expression_that_matches_a_part_of_a_number_gets_all_of_it(
    regex: str, line: str, expected: tuple[int | None, float] | None
) -> None:
    records = Patterns([regex]).read(line)
    assert records == ([] if expected is None else [(expected[0], {"loss": expected[1]})])


@given(
    step=st.integers(0, 9999),
    loss=st.floats(0, 1e7),
    form=st.sampled_from(["{}", "{:.0f}", "{:.4f}", "{:.3e}", "{:.3g}", "{:,.2f}", "{:_.1f}"]),
    before=st.sampled_from(
        [
            ("epoch {} ", r"epoch (?P<step>\d+) "),
            ("step_{}-", r"step_(?P<step>\d+)-"),
            ("{}epochs ", r"(?P<step>\d+)epochs? "),
            ("[{}/9_999] ", r"\[(?P<step>\d+)/.*"),
            ("{},", r"^(?P<step>\d+),"),
        ]
    ),
    name=st.sampled_from(
        [("loss=", "loss="), ("val_", "val_"), ("loss ", "loss."), ("a1: ", r"a1\D+"), ("", "")]
    ),
    group=st.sampled_from([r"\d+", r"[\d.]+", r"[\d.e-]+", r"\d[^ ,]*"]),
    after=st.sampled_from([("", ""), (" acc=5", ".*acc"), (", acc=5", ""), (",5", "")]),
)
def test_the_number_that_is_read_is_the_one_that_was_printed(
    step: int,
    loss: float,
    form: str,
    before: tuple[str, str],
    name: tuple[str, str],
    group: str,
    after: tuple[str, str],
) -> None:
    printed = form.format(loss)
    if before[0] == "{}," or after[0] == ",5":
        assume("," not in printed)
        assume("." in printed or before[0] + name[0] == "{},")  # otherwise 0,5 is ambiguous
    assume(name[0] or "/" not in before[0])  # .* would match the beginning of the number
    line = before[0].format(step) + name[0] + printed + after[0]
    regex = f"{before[1]}{name[1]}(?P<loss>{group}){after[1]}"
    assert Patterns([regex]).read(line) == [(step, {"loss": float(printed.replace(",", ""))})], (line, regex)


@pytest.mark.process
def test_a_match_that_is_not_a_number_is_shown_with_its_line(
    make_script: MakeScript, capfd: pytest.CaptureFixture[str]
) -> None:
    file = make_script(
        "print('epoch 1: val_loss=0,25')", metrics_from={"regex": r"val_loss=(?P<val_loss>\S+)"}
    )
    reason = (
        "'0,25' in the line 'epoch 1: val_loss=0,25' is not read as a number: numbers are printed as 1234.5, "
        "1,234.5, 1e-3, 12.3k or nan, with a decimal point"
    )
    assert run(file).trials[0].reason == f"the script never reported 'val_loss'; {reason}"
    assert f"sweep: metrics_from.regex, val_loss: {reason}\n" in capfd.readouterr().err


@pytest.mark.process
def test_coloured_output_and_progress_bars_are_read_as_a_terminal_shows_them(
    make_script: MakeScript,
) -> None:
    file = make_script(
        r"""
        import sys
        print("\x1b[1;32mepoch\x1b[0m 1: \x1b[38;5;4mval_loss\x1b[0m=\x1b[1m0.\x1b[4m5\x1b[0m, took 3 s")
        print("\x1b]8;;file:///a\x1b\\epoch 2: val_loss=0.4\x1b]8;;\x1b\\")
        print("\x1b]0;a title\x07epoch 3: val_loss=0.3\x1b[K")
        print("epoch 4: val_loss=0.9" + "\b" * 3 + "0.2")
        sys.stderr.write("\x1b[2K\x1b[1Gepoch 5: val_loss=0.8\x1b[2K\x1b[1Gepoch 5: val_loss=0.1\n\x1b[A")
        """,
        metrics_from={"regex": r"epoch (?P<step>\d+): val_loss=(?P<val_loss>\S+)"},
    )
    assert run(file).study.trials[0].intermediate_values == {1: 0.5, 2: 0.4, 3: 0.3, 4: 0.2, 5: 0.1}


def test_a_line_that_is_printed_while_a_progress_bar_runs_does_not_end_it() -> None:
    patterns = Patterns([r"Epoch (?P<step>\d+)", r"loss=(?P<loss>\S+)", r"lr (?P<lr>\S+)"])
    found = []
    for epoch in range(2):
        for batch in range(4):
            found += patterns.read(f"Epoch {epoch}: loss={10 * epoch + batch}", is_overwritten=True)
            if batch == 1:
                found += patterns.read("lr 0.1")
    assert found == [(0, {"lr": 0.1}), (0, {"loss": 3}), (1, {"lr": 0.1})]
    assert patterns.rest() == [(1, {"loss": 13})]


def test_a_line_with_the_metric_of_a_progress_bar_counts_instead_of_the_states_before_it() -> None:
    patterns = Patterns([r"Epoch (?P<step>\d+)", r"loss=(?P<loss>\S+)"])
    assert patterns.read("Epoch 0: loss=3", is_overwritten=True) == []
    assert patterns.read("Epoch 0: loss=2") == [(0, {"loss": 2})]
    assert patterns.rest() == []


def test_a_progress_bar_is_over_when_a_line_has_the_next_step() -> None:
    patterns = Patterns([r"Epoch (?P<step>\d+)", r"loss=(?P<loss>\S+)"])
    assert patterns.read("Epoch 0: loss=3", is_overwritten=True) == []
    assert patterns.read("Epoch 1 begins") == [(0, {"loss": 3})]


@pytest.mark.parametrize(
    ("regex", "line"),
    [
        (r"^  loss: (?P<loss>\S+)", "  loss: 0.5"),
        (r"^loss: (?P<loss>\S+)", "  loss: 0.5"),
        (r"\s+all\s+\d+\s+(?P<loss>\S+)$", "                   all        128        0.5"),
        (r"loss: (?P<loss>\S+)$", "loss: 0.5    "),
        (r"loss: (?P<loss>\S+)  $", "loss: 0.5  "),
    ],
)
def test_an_expression_sees_a_line_with_and_without_the_white_space_around_it(regex: str, line: str) -> None:
    assert Patterns([regex]).read(line) == [(None, {"loss": 0.5})]


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


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("2", 2),
        ("2.0", 2),
        ("1.001k", 1001),
        ("2147483647", 2147483647),
        ("0.25", None),
        ("1000000000.5", None),
        ("2147483647.5", None),
        ("2147483648", None),
        ("-1", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_a_step_that_is_not_a_whole_number_is_said_once_and_its_line_is_counted(
    step: str, expected: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    patterns = Patterns([r"'epoch': (?P<step>\S+)", r"'loss': (?P<loss>[\d.]+)"])
    assert patterns.read("'epoch': 7 'loss': 1") == [(7, {"loss": 1.0})]
    for _ in range(2):
        assert patterns.read(f"'epoch': {step} 'loss': 0.5") == [(expected, {"loss": 0.5})]
    said = capsys.readouterr().err
    assert said.count("is not a step, which is a whole number from 0 to 2147483647") == (expected is None)


@pytest.mark.process
@pytest.mark.parametrize("factor", [0.5, 1.1])
def test_fractional_epochs_are_counted(make_script: MakeScript, factor: float) -> None:
    file = make_script(
        f"""
        for epoch in range(1, 6):
            print({{"val_loss": 1 / epoch, "epoch": epoch * {factor}}})
        """,
        metrics_from={"regex": r"'val_loss': (?P<val_loss>[\d.]+), 'epoch': (?P<step>[\d.]+)"},
    )
    assert run(file).study.trials[0].intermediate_values == {0: 1, 1: 0.5, 2: 1 / 3, 3: 0.25, 4: 0.2}
