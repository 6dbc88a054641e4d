"""What an objective does to its process is undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from sweep.engine.output import redirected_descriptors

class Logger:  # as research code has it
    def __init__(self, stream): self.stream = stream
    def write(self, text): self.stream.write(text)

folder = Path(sys.argv[1])
print("before")
with redirected_descriptors(folder / "one"):
    print("first")
    sys.stdout = Logger(sys.stdout)
    print("through a logger")
print("between")
with redirected_descriptors(folder / "two"):
    print("second")
    sys.stdout.close()
print("after")
with redirected_descriptors(folder / "three"):
    print("third")
print("end")
"""


def test_an_objective_may_replace_or_close_its_streams(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["before", "between", "after", "end"]
    assert done.stderr == ""
    assert (tmp_path / "one").read_text() == "first\nthrough a logger\n"
    assert (tmp_path / "two").read_text() == "second\n"
    assert (tmp_path / "three").read_text() == "third\n"
