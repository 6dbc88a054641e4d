"""What `program` can name: a script, a module after -m, a package, or a program on PATH."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from sweep.errors import EntryError
from sweep.script.reference import ScriptReference
from sweep.sweepfile import parse_sweep_file

MODULE = ["${env}", "${interpreter}", "-m", "${program}", "${args}"]
WANDB = "method: random\n"
OURS = "metric: {name: loss, goal: minimize}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with scripts, modules, and a program that is on PATH."""
    for file in ("train.py", "code/__init__.py", "code/train.py", "app/__main__.py", "near/other.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("print('loss: 1')\n")
    program = tmp_path / "bin" / "my-train"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find(folder: Path, program: str, command: list[str] | None, head: str = WANDB) -> list[str]:
    """The command line of a trial, without `env` and the interpreter."""
    text = f"{head}program: {program}\nparameters: {{x: {{value: 1}}}}\n"
    text += "" if command is None else f"command: {json.dumps(command)}\n"
    spec = parse_sweep_file(text, folder / "near" / "space.yaml").spec
    arguments = ScriptReference.find(spec, folder / "near", folder).arguments({"x": 1}, folder, 0, 0)
    return [item for item in arguments if item not in ("/usr/bin/env", "python", sys.executable)]


@pytest.mark.parametrize("head", [WANDB, OURS])
@pytest.mark.parametrize(
    ("program", "command", "expected"),
    [
        ("code.train", MODULE, ["-m", "code.train", "--x=1"]),
        ("code.train", ["python", "-m", "${program}"], ["-m", "code.train"]),
        ("app", MODULE, ["-m", "app", "--x=1"]),
        ("json.tool", MODULE, ["-m", "json.tool", "--x=1"]),
        ("my-train", ["${program}", "${args}"], ["my-train", "--x=1"]),
        ("my-train", ["${env}", "${program}"], ["my-train"]),
        ("my-train", ["nice", "${program}"], ["nice", "my-train"]),
        ("elsewhere", ["/bin/sh", "-m", "${program}"], ["/bin/sh", "-m", "elsewhere"]),
        ("train.py", None, ["train.py", "--x=1"]),
        ("app", None, ["app", "--x=1"]),
    ],
)
def test_a_program_can_be_a_module_a_package_or_on_path(
    folder: Path, head: str, program: str, command: list[str] | None, expected: list[str]
) -> None:
    assert find(folder, program, command, head) == expected


def test_a_program_on_path_needs_no_command(folder: Path) -> None:
    assert find(folder, "my-train", None, OURS) == ["my-train", "--x=1"]


def test_a_folder_on_path_that_cannot_be_listed_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, listed = folder / "secret", os.listdir
    secret.mkdir()
    monkeypatch.setenv("PATH", f"{secret}:{folder / 'missing'}:{folder / 'bin'}")

    def list_folder(path: str | Path) -> list[str]:
        if Path(path) == secret:  # root can list every folder
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "listdir", list_folder)
    with pytest.raises(EntryError, match="there is no program 'my-tarin' on PATH; did you mean my-train"):
        find(folder, "my-train", ["my-tarin", "${program}"])


@pytest.mark.parametrize(
    ("program", "command", "message"),
    [
        ("code.trian", MODULE, "program: there is no module code.trian in {folder}, nor is one installed"),
        ("nothing", MODULE, "program: there is no module nothing in {folder}, nor is one installed"),
        ("other", MODULE, "it is in {folder}/near: run the sweep there, or write cwd: {folder}/near"),
        (
            "code/train.py",
            MODULE,
            "code/train.py is a file, but -m needs the name of a module; write code.train",
        ),
        ("train.py", MODULE, "train.py is a file, but -m needs the name of a module; write train"),
        ("nothing", None, "program: there is no file nothing (looked in {folder} and {folder}/near)"),
        (
            "code.train",
            None,
            'to run the module, write command: ["${{interpreter}}", -m, "${{program}}", "${{args}}"]',
        ),
        ("my-train", None, 'to run the program on PATH, write command: ["${{program}}", "${{args}}"]'),
    ],
)
def test_a_program_that_does_not_exist_or_cannot_run_is_an_error_before_anything_runs(
    folder: Path, program: str, command: list[str] | None, message: str
) -> None:
    with pytest.raises(EntryError) as caught:
        find(folder, program, command)
    assert message.format(folder=folder) in str(caught.value)
