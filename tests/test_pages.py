"""The examples of the documentation run unchanged: files are written, then commands and scripts run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        language: the language after its fence.
        text: its content.
    """

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that its first line names."""
        found = re.match(r"# (\S+\.(?:py|yaml))\n", self.text)
        return found[1] if found else None


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page."""
    text = (REPOSITORY / page).read_text()
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def is_script(file: str) -> bool:
    """Whether an example is run as it is, and not by another one or by a sweep file."""
    others = ("with_", "train", "math_objective")
    return file.endswith(".py") and not file.startswith(others)


PAGES = [
    "README.md",
    *(
        f"docs/{page}.md"
        for page in (
            "optuna",
            "python",
            "scripts",
            "wandb",
            "frameworks",
            "debugging",
            "hydra",
            "ray-tune",
            "recipes",
            "distributed",
        )
    ),
]


@pytest.mark.process
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run_unchanged(
    project: Path, page: str, request: pytest.FixtureRequest
) -> None:
    if page != "README.md":
        request.getfixturevalue("joining")
    found = blocks(page)
    for block in found:
        if block.file is not None:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text)
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    for block in found:
        commands = re.findall(r"^\$ (.*)$", block.text, re.MULTILINE) if block.language == "console" else []
        if block.file is not None and is_script(block.file):
            commands = [f"python {block.file}"]
        for command in commands:
            done = subprocess.run(
                command, shell=True, capture_output=True, text=True, timeout=600, env=environment, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, done.stderr
