"""The output of objectives goes to the trial's file; inline, to the terminal as well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sweep.engine.output import tee_output


def test_a_stream_that_the_objective_keeps_can_be_flushed_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python does so when nothing refers to it any longer, and from 3.13 on prints the error of that."""
    with tee_output(tmp_path / "output.log"):
        print("loss")
        kept = sys.stdout
    kept.flush()
    kept.close()
    print("after")
    assert capsys.readouterr().out == "loss\nafter\n"
    assert (tmp_path / "output.log").read_text() == "loss\n"
