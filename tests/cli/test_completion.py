"""Shell completion of commands, options, sweeps, trials and kinds of plots; and the help."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sweep.cli.app import app
from sweep.cli.completion import PLOT_KINDS
from sweep.rendering.plots import ALIASES, KINDS
from tests.commands import PATIENCE, UNNEEDED_LIBRARIES

COMMANDS = ["", *(str(command.callback.__name__) for command in app.registered_commands if command.callback)]


@pytest.fixture
def completing(project: Path) -> Path:
    """A folder with two sweeps, and the command `sweep` in bin/."""
    for name, trials in (("digits", ["0000", "0007", "0012"]), ("digits-2", []), ("it's $(x)", [])):
        root = project / "runs" / name
        root.mkdir(parents=True)
        (root / "sweep.yaml").touch()
        for number in trials:
            (root / f"trial-{number}" / "seed-0").mkdir(parents=True)
    (project / "elsewhere" / "other").mkdir(parents=True)
    (project / "elsewhere" / "other" / "sweep.yaml").touch()
    (project / "bin").mkdir()
    command = project / "bin" / "sweep"
    command.write_text(f"#!{sys.executable}\nfrom sweep.cli import main\nmain()\n")
    command.chmod(0o755)
    return project


COMPLETE = """
PATH=$PWD/bin:$PATH
eval "$(sweep --show-completion bash)"
IFS=' ' read -ra COMP_WORDS <<< "$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_sweep_completion sweep
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sweep st", {"status", "stop"}),
        ("sweep trials d", {"digits", "digits-2"}),
        ("sweep trials ", {"digits", "digits-2"}),
        ("sweep trials --runs elsewhere ", {"other"}),
        ("sweep status digits-", {"digits-2"}),
        ("sweep report digits d", {"digits", "digits-2"}),
        ("sweep logs digits ", {"0", "7", "12"}),
        ("sweep logs digits 7/", {"7/seed-0"}),
        ("sweep compare digits ", {"digits", "digits-2", "0", "7", "12"}),
        ("sweep retry digits 1", {"12"}),
        ("sweep stop digits --trial ", {"0", "7", "12"}),
        ("sweep plot cu", {"curves"}),
        ("sweep trials digits --format ", {"table", "json", "csv"}),
        ("sweep ls --s", {"--sort"}),
    ],
)
def test_bash_completes(line: str, expected: set[str], completing: Path) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", line],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert set(done.stdout.split()) == expected
    assert done.stderr == ""


@pytest.mark.process
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str, completing: Path) -> None:
    done = subprocess.run(
        ["bin/sweep"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "_SWEEP_COMPLETE": f"source_{shell}"},
    )
    assert f"_SWEEP_COMPLETE=complete_{shell}" in done.stdout


@pytest.mark.process
def test_completion_imports_no_large_library(completing: Path) -> None:
    code = f"""
        import sys
        sys.argv = ["sweep"]
        from sweep.cli import main
        try:
            main()
        except SystemExit:
            pass
        assert not {set(UNNEEDED_LIBRARIES) | {"optuna", "ray", "numpy"}!r} & sys.modules.keys()
    """
    env = {"COMP_WORDS": "sweep logs digits ", "COMP_CWORD": "3", "_SWEEP_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **env},
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["0", "7", "12"], "")


def test_the_kinds_of_plots_are_complete() -> None:
    assert set(PLOT_KINDS) == {*KINDS, *ALIASES}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_has_examples_and_fits_a_terminal_of_80_columns(command: str) -> None:
    arguments = [*([command] if command else []), "--help"]
    shown = CliRunner().invoke(app, arguments, prog_name="sweep", env={"COLUMNS": "80"}).output
    assert "Examples:" in shown
    assert f"sweep {command}" in shown.partition("Examples:")[2]
    assert [line for line in shown.splitlines() if len(line) > 80] == []
