"""The command or the call that resumes a sweep, for messages."""

from __future__ import annotations

import pytest

from sweep.caller import PLACEHOLDER, CommandLine, PythonCall, called_by, caller


@pytest.mark.parametrize(
    ("arguments", "changes", "command"),
    [
        (["run", "a b.yaml", "--runs", "x"], {}, "sweep run 'a b.yaml' --runs x"),
        (["run", "s.yaml", "--fresh", "--inline"], {}, "sweep run s.yaml --inline"),
        (["run", "s.yaml"], {"fresh": True}, "sweep run s.yaml --fresh"),
        (["run", "s.yaml", "--fresh"], {"fresh": True}, "sweep run s.yaml --fresh"),
        (["run", "s.yaml", "-n", "5", "-p", "2"], {"stop.trials": 10}, "sweep run s.yaml -p 2 -n 10"),
        (["run", "s.yaml", "-n5", "--trials=6"], {"stop.trials": 10}, "sweep run s.yaml -n 10"),
        (["run", "s.yaml", "--trials", "6"], {"stop.trials": 10}, "sweep run s.yaml -n 10"),
        (["run", "s.yaml", "--name", "a"], {"name": "NAME"}, "sweep run s.yaml --name NAME"),
        (["run", "s.yaml", "--name=a"], {"name": "NAME"}, "sweep run s.yaml --name NAME"),
        (
            ["run", "s.yaml", "--set", "stop.failures=3", "--set", "sampler=grid"],
            {"stop.failures": "unlimited"},
            "sweep run s.yaml --set sampler=grid --set stop.failures=unlimited",
        ),
        (
            ["run", "s.yaml", "--set=stop.target=1"],
            {"stop.target": PLACEHOLDER},
            "sweep run s.yaml --set stop.target=...",
        ),
        (
            ["run", "s.yaml", "--set", "parameters.x={min: 0, max: 1}"],
            {},
            "sweep run s.yaml --set 'parameters.x={min: 0, max: 1}'",
        ),
    ],
)
def test_a_command_is_repeated_with_changes(
    arguments: list[str], changes: dict[str, object], command: str
) -> None:
    assert CommandLine(arguments).again(**changes) == command


def test_a_command_for_another_folder_begins_with_cd() -> None:
    assert CommandLine(["run", "s.yaml"], "/a b").again() == "cd '/a b' && sweep run s.yaml"


@pytest.mark.parametrize(
    ("call", "changes", "text"),
    [
        (PythonCall("train", "demo"), {}, "sweep.run(train, ..., name='demo')"),
        (PythonCall(name="demo"), {}, "sweep.run(..., name='demo')"),
        (
            PythonCall("train", "demo"),
            {"stop.trials": 8},
            "sweep.run(train, ..., name='demo', n_trials=8)",
        ),
        (
            PythonCall("train", "demo"),
            {"stop.failures": "unlimited"},
            "sweep.run(train, ..., name='demo', stop={'failures': 'unlimited'})",
        ),
        (PythonCall("train", "demo"), {"name": "NAME"}, "sweep.run(train, ..., name='NAME')"),
        (PythonCall("train", "demo"), {"fresh": True}, "sweep.run(train, ..., name='demo', fresh=True)"),
        (PythonCall("train", "demo", True), {}, "sweep.run(train, ..., name='demo') without fresh=True"),
    ],
)
def test_a_call_is_repeated_with_changes(call: PythonCall, changes: dict[str, object], text: str) -> None:
    assert call.again(**changes) == text


def test_options_are_written_as_the_caller_writes_them() -> None:
    assert caller().option("address", "auto") == "address='auto'"
    with called_by(CommandLine(["run", "s.yaml"])):
        assert caller().option("address", "auto") == "--address auto"
        assert caller().option("fresh", True) == "--fresh"
        with called_by(PythonCall("train", "demo")):
            assert caller().option("fresh", True) == "fresh=True", "the objective runs another sweep"
        assert caller().option("fresh", True) == "--fresh"


def test_entries_of_a_sweep_file_are_changed_as_the_caller_changes_them() -> None:
    assert caller().entry("program", "train.py") == "overrides={'program': 'train.py'}"
    with called_by(CommandLine(["run", "s.yaml"])):
        assert caller().entry("program", "a b.py") == "--set 'program=a b.py'"
