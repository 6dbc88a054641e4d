"""Fixtures for the tests of the controller and what it consists of."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.directory import SweepDirectory


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    """The empty directory of a sweep named demo."""
    root = tmp_path / "demo"
    root.mkdir()
    return SweepDirectory(root)
