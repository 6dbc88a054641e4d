"""The progress displays, drawn into a string."""

from __future__ import annotations

import io
import math
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from sweep.console.display import LineDisplay
from sweep.console.live import LiveDisplay
from sweep.console.sparkline import shape
from sweep.messages import Assignment, AttemptResult, BestTrial, Progress, Report, RunningTrial
from sweep.sweepfile import SweepSpec
from sweep.tracking.hparams import Session
from tests.commands import PATIENCE
from tests.terminal import Terminal

SPEC = SweepSpec.model_validate(
    {
        "name": "demo",
        "objective": "a.py:f",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"lr": {"min": 0.0, "max": 1.0}, "epochs": 9},
    }
)


def progress(finished: int) -> Progress:
    running = (RunningTrial(7, 1, {"lr": 0.25, "epochs": 9}, 0.0, Report(3, 0.125)),)
    return Progress(
        counts={"complete": finished, "pruned": 0, "failed": 0, "running": 1, "waiting": 0},
        total=20,
        best=BestTrial(2, 0.5, {"lr": 0.75, "epochs": 9}, time.time() - 12) if finished else None,
        running=running,
        elapsed=61.0,
        seconds_left=None,
        stopped_by=None,
    )


def shown(display: LiveDisplay, width: int = 100, height: int = 40, encoding: str = "utf-8") -> list[str]:
    """The lines of the display's picture on a terminal of this size."""
    file = io.TextIOWrapper(io.BytesIO(), encoding, errors="replace", newline="")
    console = Console(file=file, width=width, height=height, markup=False)
    picture = display.picture()
    assert picture is not None
    console.print(picture, end="")
    file.seek(0)
    lines = file.read().splitlines()
    assert all(cell_len(line) <= width for line in lines), lines
    assert len(lines) < height
    assert all(line.isprintable() for line in lines)
    return lines


def ready(spec: SweepSpec = SPEC, slots: int = 2) -> LiveDisplay:
    """A display of a sweep whose first trials are running."""
    display = LiveDisplay(spec, Console(file=io.StringIO(), width=100, markup=False))
    display.on_ready(slots, progress(0))
    return display


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_display_has_progress_best_trial_and_running_trials_in_any_width(width: int) -> None:
    live = ready()
    for number in range(3):
        live._time_left.add(AttemptResult(number, 1, "COMPLETE", "returned", duration_s=10.1))
    now = progress(3)
    live.on_progress(replace(now, running=(replace(now.running[0], started=time.time() + 60),)))
    lines = [line for line in shown(live, width) if line]
    assert len(lines) == 5
    assert lines[0].startswith("demo  running  ━")
    assert lines[0].endswith("─  3/20 trials")
    assert lines[1].startswith("1m01s, about 1m31s left  1/2 slots busy  3 complete")
    assert lines[2].startswith("best  loss 0.5  trial 2, 12 s ago  lr=0.75")
    assert lines[3].split() == ["trial", "time", "step", "loss", "parameters"]
    assert lines[4].split()[0] == "7"
    assert lines[4].split()[-3:] == ["3", "0.125", "lr=0.25"]
    assert "epochs" not in "".join(lines), "constants are not displayed"


def test_a_running_trial_has_a_curve_of_all_that_it_has_reported() -> None:
    live = ready()
    for step in range(1000):
        now = progress(0)
        running = (replace(now.running[0], last=Report(step, float(-abs(step - 500)))),)
        live.on_progress(replace(now, running=running))
    curve = re.search("[▁▂▃▄▅▆▇█]{8,}", shown(live)[-1])
    assert curve is not None
    assert curve[0][0] in "▁▂"
    assert curve[0][-1] in "▁▂"
    assert "█" in curve[0][3:-3]
    assert re.search("[_.~=+*#-]{8,}", shown(live, encoding="ascii")[-1])
    live.on_progress(replace(progress(0), running=()))
    assert not live._curves, "what has ended is forgotten"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([5.0], "▁"),
        ([1.0, 1.0, 1.0], "▁▁▁"),
        ([0.0, math.nan, 1.0], "▁ █"),
        ([-math.inf, 0.0, 7.0, math.inf], " ▁█"),
        ([-1.7e308, 0.0, 1.7e308], "▁▅█"),
        ([float(step) for step in range(800)], "▁▃▄▅▅▆▇█"),
    ],
)
def test_a_sparkline_shows_any_values(values: list[float], line: str) -> None:
    assert shape(values, 8, is_ascii=False) == line


def test_recent_endings_have_their_reasons() -> None:
    live = ready(slots=4)
    live.on_progress(progress(3))
    end = AttemptResult(3, 1, "COMPLETE", "returned", 0.5, is_best=True, duration_s=3, params={"lr": 0.5})
    live.on_attempt_end(end)
    live.on_attempt_end(AttemptResult(4, 1, "PRUNED", "pruned", 0.75, step=6, duration_s=2))
    live.on_attempt_end(AttemptResult(5, 1, None, "crash", reason="killed by signal 9", retry_in=30))
    live.on_attempt_end(AttemptResult(6, 1, "FAIL", "error", reason="ValueError: no"))
    live.on_attempt_end(replace(end, number=8, label="seed-1", state=None, is_repeat_finished=True))
    assert [" ".join(line.split()) for line in shown(live)[-5:]] == [
        "8/seed-1 complete 0.5 3.0 s",
        "6 failed - 0.0 s ValueError: no",
        "5 failed - 0.0 s will run again in 30 s: killed by signal 9",
        "4 pruned 0.75 2.0 s at step 6",
        "3 complete 0.5 3.0 s best so far lr=0.5",
    ]


@pytest.mark.parametrize("height", [3, 6, 10, 24, 60])
def test_the_display_fits_into_any_height_and_counts_the_trials_that_do_not(height: int) -> None:
    live = ready(slots=100)
    now = progress(3)
    running = tuple(replace(now.running[0], number=number) for number in range(100))
    live.on_progress(replace(now, running=running))
    live.on_attempt_end(AttemptResult(6, 1, "FAIL", "error", reason="ValueError: no"))
    lines = shown(live, 60, height)
    rows = sum(line.split()[-1:] == ["lr=0.25"] for line in lines)
    if height >= 10:
        assert f"  and {100 - rows} more" in lines
        assert rows >= height // 4


def test_names_and_values_are_shown_whatever_they_contain() -> None:
    nasty = "a\x1b[2J\r\n\u202e[bold]名前" * 3
    spec = SPEC.model_copy(
        update={"name": nasty, "metric": SPEC.metric.model_copy(update={"name": nasty}), "parameters": {}}
    )
    live = ready(spec)
    live._varied = None
    now = progress(3)
    params = {nasty: nasty, **{f"a_long_name_of_a_parameter_{n}": "x" * 50 for n in range(30)}}
    running = (replace(now.running[0], params=params, label=nasty, last=Report(10**9, math.nan)),)
    live.on_progress(replace(now, running=running, best=BestTrial(2, math.inf, params)))
    live.on_attempt_end(AttemptResult(4, 1, "FAIL", "error", reason=nasty, label=nasty))
    for width in (60, 80, 200):
        for encoding in ("utf-8", "ascii"):
            text = "\n".join(shown(live, width, encoding=encoding))
            assert "[bold]" in text
            assert "nan" in text
            assert "inf" in text


def test_with_several_goals_the_best_trial_has_all_values() -> None:
    live = ready()
    best = BestTrial(2, 0.5, {"lr": 0.75}, values=(0.5, 9.0))
    live.on_progress(replace(progress(3), best=best, total=None))
    lines = shown(live)
    assert "3 trials" in lines[0]
    assert "left" not in lines[1]
    assert lines[2].startswith("best  loss 0.5, 9  trial 2  lr=0.75")


def test_the_time_left_is_at_most_that_of_the_time_limit() -> None:
    live = ready()
    live.on_progress(replace(progress(0), total=None, seconds_left=1000.0))
    assert "1m01s, 16m40s left" in shown(live)[1]
    assert re.match("demo  running  ━+─+  0 trials", shown(live)[0]), "the bar shows the time"


def test_each_running_repeat_has_its_own_line() -> None:
    live = ready(slots=4)
    now = progress(1)
    repeats = tuple(replace(now.running[0], repeat=n, label=f"seed-{n}") for n in range(2))
    live.on_progress(replace(now, running=repeats))
    lines = shown(live)
    assert "2/4 slots busy" in lines[1]
    assert [line.split()[0] for line in lines[-2:]] == ["7/seed-0", "7/seed-1"]


def test_the_line_display_prints_the_outcome_of_each_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    log = LineDisplay(SPEC)
    log.on_attempt_start(Assignment(3, 1, {"lr": 0.5}, Session({}, "", 0.0), 7, repeat=1, label="seed-1"))
    over = AttemptResult(3, 1, None, "returned", 0.5, repeat=1, label="seed-1", is_repeat_finished=True)
    log.on_attempt_end(over)
    log.on_attempt_end(replace(over, kind="pruned", value=None))
    log.on_attempt_end(replace(over, kind="error", value=None, reason="ValueError: no"))
    log.on_attempt_end(
        replace(over, kind="stopped", value=None, reason="another repeat of the trial has failed")
    )
    log.on_attempt_end(replace(over, is_repeat_finished=False, kind="crash", value=None, reason="killed"))
    log.on_attempt_end(
        replace(over, is_repeat_finished=False, state="FAIL", value=None, reason="seed-2: ValueError: no")
    )
    assert capsys.readouterr().out.splitlines() == [
        "trial 3/seed-1 started: lr=0.5",
        "trial 3/seed-1 is done after 0.0 s: loss=0.5",
        "trial 3/seed-1 was pruned after 0.0 s",
        "trial 3/seed-1 failed after 0.0 s: ValueError: no",
        "trial 3/seed-1 was stopped after 0.0 s: another repeat of the trial has failed",
        "trial 3/seed-1 failed after 0.0 s and will run again: killed",
        "trial 3 FAIL after 0.0 s: seed-2: ValueError: no",
    ]


def test_failures_stay_on_the_screen() -> None:
    file = io.StringIO()
    live = LiveDisplay(SPEC, Console(file=file, width=80, markup=False))
    live.on_attempt_end(AttemptResult(4, 1, "FAIL", "error", reason="ValueError: [bold]no"))
    live.on_attempt_end(AttemptResult(5, 1, "COMPLETE", "returned", 0.5))
    assert file.getvalue() == "trial 4 failed: ValueError: [bold]no\n"


def test_only_the_first_failure_of_a_kind_stays_on_the_screen() -> None:
    file = io.StringIO()
    live = LiveDisplay(SPEC, Console(file=file, width=80, markup=False))
    for number in range(50):
        live.on_attempt_end(AttemptResult(number, 1, "FAIL", "error", reason=f"OSError: no file {number}"))
    live.on_attempt_end(AttemptResult(50, 1, "FAIL", "error", reason="ValueError: no"))
    assert file.getvalue().splitlines() == [
        "trial 0 failed: OSError: no file 0",
        "trial 50 failed: ValueError: no",
    ]


def test_the_terminal_shows_that_the_sweep_is_being_started_from_the_beginning() -> None:
    file = io.StringIO()
    with LiveDisplay(SPEC, Console(file=file, width=80, force_terminal=True)):
        assert "starting demo ..." in file.getvalue()


_IN_THE_BACKGROUND = """
import os, signal
from sweep.console.live import _no_echo

child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    with _no_echo():
        pass
    os._exit(0)
_, status = os.waitpid(child, os.WUNTRACED)
if os.WIFSTOPPED(status):
    os.kill(child, signal.SIGKILL)
print("stopped" if os.WIFSTOPPED(status) else "ended")
"""


@pytest.mark.process
def test_a_sweep_in_the_background_is_not_stopped_by_its_terminal() -> None:
    with Terminal([sys.executable, "-c", _IN_THE_BACKGROUND]) as terminal:
        assert terminal.wait_for("stopped|ended").endswith("ended")


_CLOSED_TERMINAL = """
import signal, sys
from contextlib import suppress
from pathlib import Path
from sweep.console.live import _no_echo

signal.signal(signal.SIGHUP, signal.SIG_IGN)
try:
    with _no_echo():
        with suppress(OSError):  # of the terminal, which is closed as soon as it has shown the text
            print("ready", flush=True)
            sys.stdin.read()
except BaseException as error:
    Path(sys.argv[1]).write_text(repr(error))
    raise
Path(sys.argv[1]).write_text("ended")
"""


@pytest.mark.process
def test_a_terminal_that_is_closed_meanwhile_is_no_error(tmp_path: Path) -> None:
    outcome = tmp_path / "outcome"
    terminal = Terminal([sys.executable, "-c", _CLOSED_TERMINAL, str(outcome)])
    terminal.wait_for("ready")
    os.close(terminal._master)
    terminal._process.wait(PATIENCE)
    assert outcome.read_text() == "ended"


@pytest.mark.process
def test_a_typed_character_is_not_shown_while_the_display_is() -> None:
    code = (
        "from sweep.console.live import _no_echo\n"
        "with _no_echo(): print('ready', flush=True); input()\n"
        "print('over', flush=True); input(); print('end')"
    )
    with Terminal([sys.executable, "-c", code]) as terminal:
        terminal.wait_for("ready")
        terminal.type("unseen")
        terminal.wait_for("over")
        terminal.type("seen")
        terminal.wait_for("end")
    assert "unseen" not in terminal.text
    assert "seen" in terminal.text
