"""A real Slurm, and one of small programs, whose queue is a folder with a file for each job."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import CannotStart, Missing, Slurm, running_slurm

_SBATCH = """
options = [option for option in sys.argv[1:]]
if (folder / "error").exists():
    sys.exit((folder / "error").read_text())
number = str(len(list(folder.glob("*.options"))) + 1)
(folder / f"{number}.options").write_text("\\n".join(options))
(folder / f"{number}.script").write_text(sys.stdin.read())
if (folder / "output").exists():  # the job has started and failed
    pattern = next(option for option in options if option.startswith("--output="))
    Path(pattern[9:].replace("%j", number)).write_text((folder / "output").read_text())
else:
    (folder / f"{number}.job").write_text("PENDING|Priority")
print("a line of the site's submit filter")
print(f"{number};cluster")
"""
_SQUEUE = """
if (folder / "squeue-error").exists():
    sys.exit((folder / "squeue-error").read_text())
if "--format=%L" in sys.argv:
    print((folder / "left").read_text())
    sys.exit()
asked = next((option[7:] for option in sys.argv if option.startswith("--jobs=")), None)
if asked is not None and (folder / f"{asked}.end").exists():
    print((folder / f"{asked}.end").read_text())
    sys.exit()
if asked is not None:
    sys.exit("slurm_load_jobs error: Invalid job id specified")
for job in sorted(folder.glob("*.job")):
    print(f"{job.stem}|{job.read_text()}")
print("slurm_load_jobs: a warning")
"""
_SCANCEL = """
if (folder / "scancel-error").exists():
    sys.exit((folder / "scancel-error").read_text())
numbers = [number for number in sys.argv[1:] if number[0] != "-"]
if any(option.startswith("--name=") for option in sys.argv):
    numbers = [job.stem for job in folder.glob("*.job")]
for number in numbers:
    (folder / f"{number}.job").unlink(missing_ok=True)
    with open(folder / "cancelled", "a") as log:
        log.write(f"{number} ")
"""


class FakeSlurm:
    """What the programs know and have done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def set(self, number: str, state: str, reason: str = "None") -> None:
        """Change the state of a job."""
        (self.folder / f"{number}.job").write_text(f"{state}|{reason}")

    def end(self, number: str, how: str = "") -> None:
        """A job ends: squeue does not list it any more, unless it is asked how the job has ended."""
        (self.folder / f"{number}.job").unlink()
        if how:
            (self.folder / f"{number}.end").write_text(how)

    def fail(self, text: str, command: str = "sbatch") -> None:
        """From now on a command fails."""
        (self.folder / ("error" if command == "sbatch" else f"{command}-error")).write_text(text)

    def fail_jobs(self, output: str) -> None:
        """From now on jobs end at once, with this output."""
        (self.folder / "output").write_text(output)

    def mend(self) -> None:
        """No command fails any more."""
        for file in self.folder.glob("*error"):
            file.unlink()

    def options(self, number: str) -> list[str]:
        """The options of sbatch for a job."""
        return (self.folder / f"{number}.options").read_text().splitlines()

    @property
    def submitted(self) -> int:
        return len(list(self.folder.glob("*.options")))

    @property
    def listed(self) -> list[str]:
        return sorted(job.stem for job in self.folder.glob("*.job"))

    @property
    def cancelled(self) -> list[str]:
        file = self.folder / "cancelled"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """A Slurm whose commands come first on PATH."""
    folder, programs = tmp_path / "queue", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    python = shlex.quote(sys.executable)
    for name, code in (("sbatch", _SBATCH), ("squeue", _SQUEUE), ("scancel", _SCANCEL)):
        head = f"#!{python} -IS\nimport sys\nfrom pathlib import Path\nfolder = Path({str(folder)!r})\n"
        (programs / name).write_text(head + code)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return FakeSlurm(folder)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A real Slurm on this machine."""
    try:
        with running_slurm() as slurm:
            yield slurm
    except Missing as error:
        pytest.skip(str(error))
    except CannotStart as error:
        pytest.fail(str(error))
