"""The summary that `sweep run` prints at the end."""

from __future__ import annotations

from typing import Any

import pytest

import sweep
from tests.commands import call
from tests.conftest import MakeSweep

FAILS_ONCE = """
    def train(trial):
        if trial.number == 0:
            raise ValueError("no")
        return 1.0
"""


ALL_FAIL = """
    def train(trial):
        raise ValueError(f"no data for {trial.params}")
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("stop", "is_advised"),
    [({"trials": 3}, True), ({"failures": 1}, True), ({"plateau": 1}, False), ({"target": 2.0}, False)],
)
def test_a_retry_is_advised_only_where_it_would_run(
    make_sweep: MakeSweep, stop: dict[str, Any], is_advised: bool
) -> None:
    shown = call("run", make_sweep(FAILS_ONCE, stop=stop), "--inline", status="failures" in stop).stdout
    assert "demo/trial-0000/error.txt" in shown
    assert ("sweep retry" in shown) == is_advised


def test_in_python_no_message_names_an_option_of_the_command_line(
    make_sweep: MakeSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_sweep(FAILS_ONCE)
    for _ in range(2):
        sweep.run(file, inline=True, progress=True)
    sweep.run(make_sweep(ALL_FAIL, "broken"), inline=True, progress=True, name="other")
    shown = capsys.readouterr().out
    assert " -" not in shown.replace(" --- ", ""), shown
    assert shown.count("is finished") == 1
    assert f"For more trials: sweep.run({str(file)!r}, ..., name='demo', n_trials=12)" in shown
    again = "sweep.run('{}', ..., name='other'".format(file.with_name("broken.yaml"))
    assert f"Correct the cause, then resume with: {again})" in shown
    assert f"To continue in spite of it: {again}, stop={{'failures': 'unlimited'}})" in shown


@pytest.mark.process
@pytest.mark.parametrize("trials", [12, 40])
def test_a_run_ends_with_three_sentences_of_the_explanation(make_sweep: MakeSweep, trials: int) -> None:
    train = "def train(trial): return trial.params['x']"
    shown = call("run", make_sweep(train, stop={"trials": trials}), "--inline").stdout
    sentences = shown.split("\n\n")[-2].splitlines()
    explained = call("explain", "demo", env={"COLUMNS": "500"}).stdout
    assert len(sentences) == 3
    for sentence in sentences:
        assert sentence.split(": ")[0] in explained
    assert "\n  sweep explain demo " in shown
    assert "\n  sweep report demo " in shown


@pytest.mark.process
def test_a_sweep_that_stops_because_of_a_common_failure_says_how_to_continue(make_sweep: MakeSweep) -> None:
    file = make_sweep(ALL_FAIL, stop={"trials": 20})
    shown = call("run", file, "--inline", status=1).stdout
    assert "5 trials in" in shown
    assert "\n  ValueError: no data for {" in shown
    assert "\n  runs/demo/trial-0000/error.txt\n" in shown
    assert f"then resume with: sweep run {file} --inline\n" in shown
    assert "first: sweep retry demo --failed\n" in shown
    again = call("run", file, "--inline", "--quiet", status=1)
    assert again.stdout == ""
    assert "error: demo: no trial is complete yet; 10 failed, all with a message like: Val" in again.stderr
    option = f"sweep run {file} --inline --set stop.failures=unlimited"
    assert f"To continue in spite of it: {option}\n" in shown
    assert "20 failed" in call(*option.split()[1:], status=1).stdout


@pytest.mark.process
def test_a_sweep_whose_trials_were_all_pruned_has_done_its_work(make_sweep: MakeSweep) -> None:
    file = make_sweep("import optuna\ndef train(trial): raise optuna.TrialPruned")
    done = call("run", file, "--inline")
    assert "6 pruned" in done.stdout
    assert "no trial is complete: all were pruned" in done.stdout
    call("run", file, "--inline")
    assert "no trial is complete: all were pruned" in call("best", "demo").stdout


@pytest.mark.process
def test_failures_for_several_reasons_are_told_apart(make_sweep: MakeSweep) -> None:
    code = """
    ERRORS = ["no data", "no data", "no GPU", "no disk", "no token", "no time"]

    def train(trial):
        raise OSError(ERRORS[trial.number])
    """
    shown = call(
        "run", make_sweep(code, stop={"trials": 6, "failures": "unlimited"}), "--inline", status=1
    ).stdout
    assert "6 failed, 2 of them with: OSError: no data\n" in shown
    for reason in ("no GPU", "no disk", "no token"):
        assert f"\n  1 with: OSError: {reason}\n" in shown
    assert "\n  1 with other reasons: sweep trials demo\n" in shown
