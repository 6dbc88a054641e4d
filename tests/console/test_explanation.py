"""`sweep explain` and `sweep importance` on a terminal."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from sweep.analysis.explanation import Explanation, Statement
from sweep.analysis.importance import Importance
from sweep.analysis.metric_importances import MetricImportances
from sweep.console.explanation import print_explanation
from sweep.console.importance import print_importances

LONG = "It is a sentence about a sweep that is much longer than a line of a small terminal can be. " * 2
COMMAND = "sweep run demo.yaml --name demo-2 --set parameters.learning_rate.max=0.03 " + "--set a.b=1 " * 4
STATEMENTS = (
    Statement("best", "best", "Trial 7 is the best.", "from 8 repeats"),
    *(Statement("parameters", "importance", f"x{number} matters. {LONG}", LONG) for number in range(12)),
    Statement("health", "failures", "3 trials failed.", "trial 1 is one"),
    Statement("health", "idle", "The slots were idle."),
    Statement("cost", "cost", "It took 2 slot hours."),
    Statement("next", "next", f"Widen it: {COMMAND}", "", {"command": COMMAND, "why": "Widen it"}),
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    def resize(columns: int, lines: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        monkeypatch.setenv("TERM", "xterm-256color")

    return resize


def show(*statements: Statement, has_all: bool = False) -> None:
    explanation = Explanation("demo", "finished", statements)
    print_explanation(explanation, "8 complete", "sweep explain demo --all", has_all=has_all)


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (100, 50), (60, 24)])
def test_the_most_useful_sentences_fit_on_the_screen(
    terminal: Any, capsys: pytest.CaptureFixture[str], columns: int, lines: int
) -> None:
    terminal(columns, lines)
    show(*STATEMENTS)
    printed = capsys.readouterr().out.splitlines()
    command = next(line for line in printed if COMMAND.strip() in line)
    assert len(printed) + len(command) // columns < lines, "the prompt has a line as well"
    assert all(len(line) <= columns + 20 for line in printed if line != command), "with escape sequences"
    text = "\n".join(printed)
    for needed in ("Trial 7 is the best", "3 trials failed", "2 slot hours", "x0 matters", "--all"):
        assert needed in text


def test_all_sentences_are_printed_on_request_and_into_a_file(
    terminal: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    show(*STATEMENTS)
    into_file = capsys.readouterr().out
    assert into_file.count("matters") == 12
    assert "--all" not in into_file
    assert "\x1b" not in into_file
    terminal(80, 24)
    show(*STATEMENTS, has_all=True)
    assert capsys.readouterr().out.count("matters") == 12


def test_no_color_is_respected(
    terminal: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal(80, 24)
    monkeypatch.setenv("NO_COLOR", "1")
    show(*STATEMENTS)
    out = capsys.readouterr().out
    assert "\x1b[3" not in out, "no colour"


def test_a_text_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(Statement("health", "failures", "a \x1b[2J b\r\nc [red]d[/red]", "e\x07"))
    out = capsys.readouterr().out
    assert not {"\x1b", "\r", "\x07"} & set(out)
    assert "[red]d[/red]" in out


def test_a_sweep_without_statements_has_a_title(capsys: pytest.CaptureFixture[str]) -> None:
    show()
    assert capsys.readouterr().out == "demo: finished, 8 complete\n"


def importances(complete: int = 50, why_not: str = "") -> MetricImportances:
    found = [
        Importance("lr", share=0.6, low=0.5, high=0.7, ped_anova=0.3, ped_low=0.2, ped_high=0.4),
        Importance(
            "momentum \x1b[1m", share=0.1, low=0.05, high=0.2, ped_anova=0.7, ped_low=0.6, ped_high=0.9
        ),
        Importance("layers"),
    ]
    return MetricImportances("loss", complete, 20, not why_not, why_not, [] if why_not else found)


def test_parameters_are_ordered_by_the_chosen_importance(capsys: pytest.CaptureFixture[str]) -> None:
    print_importances(importances(), is_ped=False)
    out = capsys.readouterr().out
    assert out.index("lr") < out.index("momentum") < out.index("layers")
    assert "0.600  0.500 to 0.700" in out
    assert "\x1b" not in out
    print_importances(importances(), is_ped=True)
    out = capsys.readouterr().out
    assert out.index("momentum") < out.index("lr")
    assert "0.700  0.600 to 0.900" in out
    print_importances(importances(complete=12), is_ped=False)  # and enough pruned ones
    assert "lr" in capsys.readouterr().out


def test_on_a_narrow_terminal_bars_are_left_out_and_numbers_never_cut_off(
    terminal: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns, has_bars in ((80, True), (50, False), (20, False)):
        terminal(columns, 24)
        print_importances(importances(), is_ped=False)
        out = capsys.readouterr().out
        assert ("█" in out) == has_bars
        assert "0.600  0.500 to 0.700" in out
        assert "…" not in out


def test_if_no_importance_is_told_the_reason_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_importances(importances(why_not="all trials have the same loss"), is_ped=True)
    assert (
        capsys.readouterr().out
        == "loss: cannot tell which parameters matter: all trials have the same loss\n"
    )
