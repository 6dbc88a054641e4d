"""Files that are on disk completely or not at all."""

from __future__ import annotations

from pathlib import Path

from sweep.system.durable import write_private


def test_a_private_file_replaces_files_that_others_can_read(tmp_path: Path) -> None:
    path, of_a_killed_process = tmp_path / ".password", tmp_path / ".password.tmp"
    for file in (path, of_a_killed_process):
        file.write_text("old")
        file.chmod(0o644)
    write_private(path, "se\u00e9cret")
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text("utf-8") == "se\u00e9cret"
