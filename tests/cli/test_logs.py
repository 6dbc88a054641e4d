"""`sweep logs`: what a trial has printed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.cli.app import app
from sweep.controller.controller import Controller
from sweep.errors import InputError
from sweep.messages import Outcome
from sweep.sweepfile import load_spec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import SweepLock
from tests.commands import PATIENCE, sweep_command
from tests.terminal import Terminal

pytestmark = pytest.mark.usefixtures("project")

COLOURED = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2Jplain\x9b1A\n 10%\r 50%\r100%\na\tb\n"


def run(objective: Any, **options: Any) -> SweepDirectory:
    options = {"name": "demo", "n_trials": 1, "space": {"x": {"min": 0.0, "max": 1.0}}, **options}
    sweep.run(objective, inline=True, progress=False, **options)
    return SweepDirectory.of(Path("runs"), "demo")


def logs(*arguments: str) -> None:
    app(["logs", "demo", *arguments], standalone_mode=False)


def test_the_output_of_a_trial_is_printed_as_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    directory = run(lambda trial: 1.0, n_trials=2)
    content = COLOURED.encode() + b"\xff\x00 no newline"
    directory.trial(1).output.write_bytes(content)
    logs("1")
    assert capfdbinary.readouterr() == (content, b"")
    logs("1", "--tail", "2")
    assert capfdbinary.readouterr().out == b"".join(content.splitlines(keepends=True)[-2:])
    logs("1", "--tail", "0")
    assert capfdbinary.readouterr().out == b""


def test_of_a_failed_trial_the_place_of_its_traceback_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def train(trial: sweep.Trial) -> float:
        print("loading")
        raise ValueError("no\x1b data")

    directory = run(train)
    capsys.readouterr()
    logs("0")
    out, err = capsys.readouterr()
    assert out == "loading\n"
    assert err == f"trial 0 failed: ValueError: no\\u001b data; traceback: {directory.trial(0).error}\n"


def test_the_output_of_a_repeat_is_found_by_its_name_or_index(capsys: pytest.CaptureFixture[str]) -> None:
    def train(trial: sweep.Trial) -> float:
        print("seed", trial.seed)
        return 1.0

    run(train, repeats={"seeds": [7, 8]})
    capsys.readouterr()
    for name in ("0/seed-8", "0/1"):
        logs(name)
        assert capsys.readouterr().out == "seed 8\n"
    with pytest.raises(InputError, match="0: the trial has repeats; write one of 0/seed-7, 0/seed-8"):
        logs("0")
    with pytest.raises(InputError, match="0/seed-9: there is no repeat seed-9; write one of"):
        logs("0/seed-9")


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ("x", "x: is not a trial"),
        ("4", "4: demo has no trial 4; it has 1 trials"),
        ("0/seed-1", "has no repeats"),
    ],
)
def test_a_trial_that_does_not_exist_is_one_error(trial: str, message: str) -> None:
    run(lambda trial: 1.0)
    with pytest.raises(InputError, match=message):
        logs(trial)


def test_a_trial_without_output_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    directory = run(lambda trial: 1.0)
    directory.trial(0).output.unlink(missing_ok=True)
    logs("0")
    assert capsys.readouterr() == ("", "trial 0 has no output\n")


@pytest.mark.process
def test_a_terminal_carries_out_colours_and_no_other_control_character() -> None:
    directory = run(lambda trial: 1.0)
    directory.trial(0).output.write_text(COLOURED)
    with Terminal(sweep_command("logs", "demo", "0")) as terminal:
        assert terminal.wait() == 0
    assert terminal.text == "\x1b[31mred\x1b[0m plain\n100%\na       b\n\x1b[0m"
    with Terminal(sweep_command("logs", "demo", "0"), NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
    assert terminal.text == "red plain\n100%\na       b\n"


@pytest.mark.process
def test_the_output_is_followed_until_the_trial_has_ended() -> None:
    directory = run(lambda trial: 1.0)
    spec = directory.spec.read_text().replace("trials: 1", "trials: 2")
    directory.spec.write_text(spec)
    controller = Controller(load_spec(directory.spec), directory, slots=1)
    assert controller.next_step(None).assignment is not None
    log = directory.trial(1).output
    log.parent.mkdir(exist_ok=True)
    with (
        SweepLock(directory.lock, "demo"),
        subprocess.Popen(
            sweep_command("logs", "demo", 1, "--follow"), stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in ("first\n", "second\n"):
            with log.open("a") as file:
                file.write(line)
            assert process.stdout.readline() == line
            assert process.poll() is None
        with log.open("a") as file:
            file.write("last")
        controller.finish(Outcome(1, 1, "returned", 1.0))
        assert process.stdout.read() == "last"
        assert process.wait(PATIENCE) == 0


@pytest.mark.process
def test_following_ends_with_ctrl_c_and_with_its_reader() -> None:
    directory = run(lambda trial: 1.0)
    directory.spec.write_text(directory.spec.read_text().replace("trials: 1", "trials: 2"))
    controller = Controller(load_spec(directory.spec), directory, slots=1)
    assert controller.next_step(None).assignment is not None
    log = directory.trial(1).output
    log.parent.mkdir(exist_ok=True)
    log.write_text("begin\n")
    with SweepLock(directory.lock, "demo"):
        with Terminal(sweep_command("logs", "demo", 1, "-f")) as terminal:
            terminal.wait_for("begin")
            terminal.press_ctrl_c()
            assert terminal.wait() == 0
            assert "Traceback" not in terminal.text
        with subprocess.Popen(sweep_command("logs", "demo", 1, "-f"), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begin\n"
            process.stdout.close()
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < deadline:
                with log.open("a") as file:
                    file.write("more\n")
                time.sleep(0.2)
            assert process.returncode == 1


def test_nothing_is_written_to_the_sweep() -> None:
    directory = run(lambda trial: 1.0)
    before = {path: path.stat().st_mtime_ns for path in directory.root.rglob("*")}
    logs("0", "-f")
    assert before == {path: path.stat().st_mtime_ns for path in directory.root.rglob("*")}
