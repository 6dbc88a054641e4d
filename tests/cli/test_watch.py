"""`sweep watch`: the live display of a sweep that another process runs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import PATIENCE, call, sweep_command
from tests.conftest import MakeSweep
from tests.terminal import Terminal

pytestmark = pytest.mark.process

WAITS = """
    import time
    from pathlib import Path

    def train(trial):
        for step in range(4):
            trial.report(1.0 / (step + 1), step)
        while trial.number == 3 and not Path("{folder}/go").exists():
            time.sleep(0.05)
        return trial.params["x"]
"""


@pytest.fixture
def running(make_sweep: MakeSweep, project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep whose fourth trial runs until there is a file `go`."""
    file = make_sweep(WAITS.replace("{folder}", str(project)))
    process = subprocess.Popen(sweep_command("run", file, "--inline", "--quiet"))
    end = time.monotonic() + PATIENCE
    while not (project / "runs/demo/trial-0003").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    yield process
    (project / "go").touch()
    process.wait(PATIENCE)


def test_a_running_sweep_is_displayed_until_it_stops(running: subprocess.Popen[bytes], project: Path) -> None:
    with Terminal(sweep_command("watch", "demo"), TERM="xterm", COLUMNS="100", LINES="30") as terminal:
        text = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", terminal.wait_for("best so far"))
        assert "demo  running  ━" in text
        assert "3/6 trials" in text
        assert "1/1 slots busy" in text
        assert re.search("trial +time +step +loss +curve", text)
        assert "█▃▂▁" in text, "also what was reported before"
        (project / "go").touch()
        terminal.wait_for("demo: finished, 6 of 6 trials")
        assert terminal.wait() == 0
    assert terminal.text.endswith(f"directory: {project}/runs/demo\n")


def test_ctrl_c_leaves_the_sweep_running(running: subprocess.Popen[bytes]) -> None:
    with Terminal(sweep_command("watch", "demo"), TERM="xterm", COLUMNS="60", LINES="20") as terminal:
        terminal.wait_for("3/6 trials")
        terminal.press_ctrl_c()
        terminal.wait_for("demo continues to run.*sweep watch demo.*sweep stop demo")
        assert terminal.wait() == 0
    assert running.poll() is None


def test_without_a_terminal_there_is_a_line_for_each_new_ending(
    running: subprocess.Popen[bytes], project: Path
) -> None:
    watching = subprocess.Popen(sweep_command("watch", "demo"), stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    assert watching.stdout.readline() == "6 trials, 3 of them already finished; 1 at once\n"
    (project / "go").touch()
    lines = watching.stdout.read().splitlines()
    assert watching.wait() == 0
    assert [line.split(" after")[0] for line in lines[:3]] == [f"trial {n} COMPLETE" for n in (3, 4, 5)]
    assert lines[3].startswith("demo: finished, 6 of 6 trials")


def test_it_ends_when_nobody_reads_its_output(running: subprocess.Popen[bytes]) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as after `| head -1`
    watching = subprocess.Popen(sweep_command("watch", "demo"), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert watching.communicate(timeout=PATIENCE)[1] == b""
    assert running.poll() is None


def test_of_a_sweep_that_is_not_running_the_status_is_printed(make_sweep: MakeSweep) -> None:
    call("run", make_sweep("def train(trial): return trial.params['x']"), "--inline")
    assert call("watch", "demo").stdout == call("status", "demo").stdout
    assert "there is no such sweep" in call("watch", "demos", status=2).stderr
