"""`sweep compare`: trials side by side."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer import Exit

from sweep.cli.app import app
from sweep.console.sparkline import sparkline
from sweep.errors import InputError
from tests.odd_sweeps import FINISHED, make_finished

Compare = Callable[..., str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_finished(tmp_path_factory.mktemp("sweeps"))


@pytest.fixture
def compare(runs: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """Runs the command; returns what it prints."""

    def run(*arguments: str) -> str:
        with suppress(Exit):
            app(["compare", *arguments, "--runs", str(runs)], standalone_mode=False)
        return capsys.readouterr().out

    return run


def rows_of(output: str) -> dict[str, list[str]]:
    """The cells of each row by its title. The values in these tests contain no blanks."""
    lines = [line.removeprefix("≠").split() for line in output.splitlines()]
    return {line[0]: [cell for cell in line[1:] if cell != "*"] for line in lines if line}


def test_the_best_trials_are_columns_and_differing_parameters_are_marked(compare: Compare) -> None:
    output, shown = compare("usual"), json.loads(compare("usual", "--json"))
    rows = rows_of(output)
    best = sorted(
        json.loads(compare("usual", "-n", "8", "--json"))["trials"], key=lambda trial: trial["value"]
    )
    assert rows["trial"] == [str(trial["number"]) for trial in best[:5]]
    assert rows["val/loss"] == [f"{trial['value']:.6g}" for trial in best[:5]]
    assert rows["x"] == [f"{trial['params']['x']:.4g}" for trial in best[:5]]
    assert re.findall("^≠ (\\S+)", output, re.MULTILINE) == shown["differing"] == ["kind", "x"]
    assert "  fixed" in output
    assert re.search(rf"^trial +{best[0]['number']} \*", output)
    assert "5 of 8 trials; more with -n 8" in output
    assert len(set(rows["curve"][0])) > 1
    assert shown["trials"][0]["curve"][-1][1] == pytest.approx(best[0]["params"]["x"] + 0.25)


def test_chosen_trials_and_those_of_several_sweeps(compare: Compare) -> None:
    assert rows_of(compare("usual", "4", "2"))["trial"] == ["4", "2"]
    both = rows_of(compare("usual", "3", "goals"))
    assert both["trial"][0] == "usual:3"
    assert [cell.split(":")[0] for cell in both["trial"][1:]] == ["goals", "goals"]
    assert both["cost"][0] == "-"
    assert rows_of(compare("usual:3", "goals:1", "usual:0"))["trial"] == ["usual:3", "usual:0", "goals:1"]


def test_a_sweep_that_is_given_by_name_and_by_directory_is_one_sweep(compare: Compare, runs: Path) -> None:
    assert compare("usual", str(runs / "usual")) == compare("usual")
    assert rows_of(compare("usual", "4", f"{runs / 'usual'}:2"))["trial"] == ["4", "2"]


def test_sweeps_with_one_name_are_told_apart_by_their_directories(
    compare: Compare, runs: Path, tmp_path: Path
) -> None:
    copy, namesake = tmp_path / "copy", tmp_path / "usual"
    for folder in (copy, namesake):
        shutil.copytree(runs / "usual", folder)
    assert rows_of(compare("usual:3", f"{copy}:3"))["trial"] == ["usual:3", "copy:3"]
    assert rows_of(compare("usual:3", f"{namesake}:3"))["trial"] == [f"{runs / 'usual'}:3", f"{namesake}:3"]
    assert compare("usual", str(copy), "--where", "x > 1").splitlines() == [
        f"{name}: none of its 8 trials fulfils the condition" for name in ("usual", "copy")
    ]
    assert "copy: 2 of 8 trials" in compare("usual", str(copy))


def test_conditions_orders_and_a_choice_of_parameters(compare: Compare) -> None:
    rows = rows_of(
        compare("usual", "--where", "kind == 'a' and value < 0.5", "--sort", "-x", "--params", "x")
    )
    assert rows["x"] == sorted(rows["x"], reverse=True)
    assert "kind" not in rows
    assert compare("usual", "--where", "x > 1") == "usual: none of its 8 trials fulfils the condition\n"
    assert json.loads(compare("usual", "--where", "x > 1", "--json"))["trials"] == []
    with pytest.raises(InputError, match=r"--params: y: is not a parameter; .*x"):
        compare("usual", "--params", "x,y")


@pytest.mark.parametrize("name", FINISHED)
def test_every_sweep_can_be_compared(compare: Compare, name: str) -> None:
    output = compare(name)
    assert output
    assert "\x1b" not in output
    assert "\r" not in output
    assert json.loads(compare(name, "--json"))["sweeps"][0]["name"] == name


def test_what_is_missing_is_said(compare: Compare) -> None:
    assert compare("empty") == "empty: has no trial yet\n"
    failed = compare("failed")
    assert "trial 1: ValueError: no luck with" in failed
    assert rows_of(compare("constraints"))["feasible"] == ["no"] * 5


def test_on_a_terminal_as_many_trials_as_fit_are_shown(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal:
        def __getattr__(self, name: str) -> Any:
            return getattr(stream, name)

        def isatty(self) -> bool:
            return True

    stream = sys.stdout
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    for name in ("usual", "hostile"):
        for columns in (20, 50, 300):
            monkeypatch.setenv("COLUMNS", str(columns))
            lines = re.sub("\x1b\\[[0-9;]*m", "", compare(name, "-n", "8")).splitlines()
            assert max(map(cell_len, lines)) <= columns
            words = " ".join(" ".join(lines).split())
            assert ("not shown, because the terminal is too narrow" in words) == (columns < 300)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", compare("usual"))
    assert "≠ kind" in re.sub("\x1b\\[[0-9;]*m", "", compare("usual"))


def test_a_character_of_a_sparkline_shows_the_values_of_its_steps() -> None:
    assert sparkline([(0, 0.0), (1, 1.0), (2, 0.5)], (0, 2), (0.0, 1.0), 3) == "▁█▅"
    assert sparkline([(0, 1.0), (50, 3.0)], (0, 100), (1.0, 3.0), 3) == "▁█"
    assert sparkline([(0, float("nan")), (9, 2.0)], (0, 9), (2.0, 2.0), 2) == " ▁"
