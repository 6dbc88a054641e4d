"""The table of trials."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

import sweep
from sweep.analysis.view import SweepView
from sweep.console.tables import print_listing, print_trials
from sweep.controller.controller import Controller
from sweep.errors import InputError
from sweep.messages import Outcome
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory

REASON = "ValueError: no data " + "for this configuration " * 10


@pytest.fixture
def view(directory: SweepDirectory) -> SweepView:
    """A sweep of twelve trials, of which the first has failed."""
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": "grid",
            "parameters": {"text": {"values": ["a\nb", "語語", "plain"]}, "x": {"values": [1, 2, 3, 4]}},
        }
    )
    directory.spec.write_text(spec.to_yaml())
    controller = Controller(spec, directory, slots=1)
    for number in range(12):
        assert controller.next_step(None).assignment is not None
        outcome = Outcome(number, 1, "returned", 12.345678901 + number)
        controller.finish(Outcome(number, 1, "failed", reason=REASON) if number == 0 else outcome)
    return SweepView(directory)


def shown(view: SweepView, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_trials(view)
    return capsys.readouterr().out.splitlines()


def test_each_trial_has_a_line_and_the_columns_are_aligned(
    view: SweepView, capsys: pytest.CaptureFixture[str]
) -> None:
    header, *lines = shown(view, capsys)
    assert header.split() == ["trial", "state", "loss", "time", "text", "x", "why"]
    assert [line.split()[0] for line in lines] == [str(number) for number in range(12)]
    assert lines[0].endswith(REASON.strip())
    assert lines[1].split()[1:3] == ["COMPLETE", "13.3457"]
    assert lines[1].split()[3] == "*"
    texts = {line[: line.index(row.state)] for line, row in zip(lines, view.rows(), strict=True)}
    assert {len(text) for text in texts} == {len("trial  ")}
    assert len({cell_len(line) for line in lines[1:]}) == 1  # they end with x, and wide characters count
    assert sum(" a b " in line for line in lines) == 4


@pytest.fixture
def resize(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes stdout a terminal with so many columns."""

    def resize_to(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))

    return resize_to


def test_on_a_terminal_reasons_are_cut_off_and_numbers_never(
    view: SweepView, capsys: pytest.CaptureFixture[str], resize: Callable[[int], None]
) -> None:
    widths = {}
    for columns in (80, 30):
        resize(columns)
        _, *lines = shown(view, capsys)
        assert "\x1b[31mFAIL" in lines[0]
        assert lines[0].endswith("…")
        assert "13.3457 *" in lines[1]
        widths[columns] = len(lines[0])
    assert widths[30] < widths[80]


def test_on_a_narrow_terminal_the_last_parameters_are_left_out(
    capsys: pytest.CaptureFixture[str], resize: Callable[[int], None], project: Path
) -> None:
    space = {f"parameter{index}": {"min": 0.0, "max": 1.0} for index in range(9)}
    sweep.run(lambda trial: 1.0, space=space, name="demo", n_trials=2, inline=True, progress=False)
    view = SweepView(SweepDirectory.of(Path("runs"), "demo"))
    capsys.readouterr()
    resize(60)
    header, *lines, note = shown(view, capsys)
    left_out = note.removeprefix("left out, as the terminal is too narrow: ").split(", ")
    assert 0 < len(left_out) < 9
    assert left_out == list(space)[-len(left_out) :]
    assert [name in header for name in space] == [name not in left_out for name in space]
    assert max(len(re.sub(r"\x1b\[\d*m", "", line)) for line in lines) <= 60
    resize(200)
    assert all(name in shown(view, capsys)[0] for name in space)


def test_the_list_of_sweeps_has_all_columns_on_every_terminal(
    view: SweepView, capsys: pytest.CaptureFixture[str], resize: Callable[[int], None]
) -> None:
    sweeps = {"demo": view, "broken": InputError("sweep.yaml: invalid YAML " + "and so on " * 20)}
    for columns in (80, 40, 20):
        resize(columns)
        print_listing(sweeps, Path("runs"))
        header, demo, broken = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
        assert header.split() == ["sweep", "state", "trials", "slot", "hours", "age", "best"]
        assert demo.split()[:4] == ["demo", "finished", "12/12", "-"]
        assert "loss=13.35 (trial " in demo
        assert broken.index("sweep.yaml") == demo.index("loss=")
        assert broken.endswith("…")
