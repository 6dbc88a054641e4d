"""The file by which the jobs find the sweep's Ray."""

from __future__ import annotations

from pathlib import Path

from sweep.engine.slurm.head import Head


def test_only_the_user_can_read_the_token(tmp_path: Path) -> None:
    path = tmp_path / ".head"
    path.write_text("of an earlier run")
    path.chmod(0o644)
    head = Head("10.0.0.1:6379", "secret", 30.0)
    head.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Head.read(path) == head
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_file_or_with_another_one_the_sweep_is_over(tmp_path: Path) -> None:
    assert Head.read(tmp_path / ".head") is None
    (tmp_path / ".head").write_text("{")
    assert Head.read(tmp_path / ".head") is None
