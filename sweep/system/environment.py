"""What a sweep ran on: git commit and uncommitted changes, packages and machine, recorded when it starts."""

from __future__ import annotations

import datetime
import json
import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from sweep.system.directory import SweepDirectory
from sweep.system.durable import write_atomically
from sweep.system.urls import hide_passwords

_MAX_DIFFERENCE = 200_000
"""Characters of the uncommitted changes that are recorded: they can contain data."""
_TIMEOUT = 60.0
"""Seconds that git has for one command: it looks at each file of the repository."""
_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class GitState:
    """The state of a git repository.

    Args:
        root: the path of the working tree.
        commit: the hash of the checked-out commit; None before the first commit.
        branch: the checked-out branch, if any.
        difference: the uncommitted changes of tracked files, as `git diff` prints them; None if unknown.
        untracked: the files that git neither tracks nor ignores; None if unknown.
    """

    root: str
    commit: str | None = None
    branch: str | None = None
    difference: str | None = None
    untracked: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """For display: `1f2e3d4c5b on main, with uncommitted changes`."""
        text = (self.commit or "no commit")[:10] + (f" on {self.branch}" if self.branch else "")
        return text + (", with uncommitted changes" if self.difference else "")


@dataclass(frozen=True)
class Environment:
    """What a sweep ran on, from `started` until it was started again.

    Args:
        started: when it was started, as ISO 8601 with a time zone.
        folder: the directory in which it was started.
        python: the version of Python.
        executable: the path of Python.
        packages: the versions of the installed packages.
        machine: host, system, CPUs, memory, and GPUs, for display. With Ray, of the machine of `sweep run`.
        git: the repository of `folder`; None if it is not in one.
    """

    started: str
    folder: str
    python: str = ""
    executable: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    git: GitState | None = None

    @property
    def moment(self) -> datetime.datetime:
        """`started`, with the UTC offset of the process that runs the sweep. Optuna's times are local."""
        return datetime.datetime.fromisoformat(self.started)


def environments(directory: SweepDirectory) -> list[Environment]:
    """What each run of a sweep ran on, in order; empty if that was not recorded."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):  # damaged or missing
        return [_environment(record) for record in json.loads(directory.environment.read_text("utf-8"))]
    return []


def _environment(record: dict[str, Any]) -> Environment:
    git = record.pop("git")
    if git is not None:
        git["untracked"] = None if git["untracked"] is None else tuple(git["untracked"])
    environment = Environment(**record, git=None if git is None else GitState(**git))
    if environment.moment.tzinfo is None:
        raise ValueError
    return environment


def record_environment(directory: SweepDirectory) -> None:
    """Record what a sweep runs on from now. Uncommitted changes are added by a thread, since git is slow."""
    folder = Path.cwd()
    now = Environment(
        started=datetime.datetime.now().astimezone().isoformat(timespec="milliseconds"),
        folder=str(folder),
        python=platform.python_version(),
        executable=sys.executable,
        packages=_packages(),
        machine=_machine(),
        git=_git_state(folder),
    )
    earlier = environments(directory)
    if now.git is None:
        _write(directory, earlier, now)
        return
    write_atomically(directory.environment, _as_text([*earlier, now]))
    arguments = (directory, earlier, now, now.git)
    threading.Thread(target=_record_changes, args=arguments, name="sweep-git", daemon=True).start()


def _record_changes(
    directory: SweepDirectory, earlier: list[Environment], now: Environment, git: GitState
) -> None:
    with suppress(OSError):  # the sweep has been moved away
        _write(directory, earlier, replace(now, git=with_changes(git)))


def _write(directory: SweepDirectory, earlier: list[Environment], now: Environment) -> None:
    is_same = bool(earlier) and replace(earlier[-1], started=now.started) == now
    is_same = is_same and earlier[-1].moment.utcoffset() == now.moment.utcoffset()
    write_atomically(directory.environment, _as_text(earlier if is_same else [*earlier, now]))


def _as_text(records: list[Environment]) -> str:
    return json.dumps([asdict(record) for record in records])


def with_changes(git: GitState) -> GitState:
    """The state of a repository with its uncommitted changes, as git finds them."""
    root = Path(git.root)
    commit = git.commit or (_git(root, "rev-parse", "--verify", "HEAD") or "").strip() or None
    difference = _git(root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")
    files = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    if difference is not None and len(difference) > _MAX_DIFFERENCE:
        difference = (
            f"{difference[:_MAX_DIFFERENCE]}\n[{len(difference) - _MAX_DIFFERENCE} characters omitted]\n"
        )
    if difference is not None:
        difference = hide_passwords(difference)  # of databases: a changed sweep file can be among the files
    untracked = None if files is None else tuple(files.split("\0")[:-1][:1000])
    return replace(git, commit=commit, difference=difference, untracked=untracked)


def _git(root: Path, *arguments: str) -> str | None:
    """The output of a git command that changes nothing; None if it fails."""
    # Neither the index nor a file system monitor is touched: other processes may use the repository.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root), *arguments]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_TIMEOUT, check=True
        )
        return done.stdout.decode("utf-8", "replace")
    return None


def _git_state(folder: Path) -> GitState | None:
    """The repository that contains a folder, read from its files: to start git takes longer."""
    root = next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)
    if root is None:
        return None
    with suppress(OSError, ValueError):
        git = root / ".git"
        if git.is_file():  # of a linked worktree or a submodule
            git = root / git.read_text("utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return GitState(str(root), commit=head)
        ref = head.removeprefix("ref:").strip()
        return GitState(str(root), commit=_commit(git, ref), branch=ref.removeprefix("refs/heads/"))
    return GitState(str(root))


def _commit(git: Path, ref: str) -> str | None:
    """The commit of a branch; None if it has none yet."""
    common = git
    with suppress(FileNotFoundError):
        common = git / (git / "commondir").read_text("utf-8").strip()
    for folder in (git, common):
        with suppress(FileNotFoundError):
            return (folder / ref).read_text("utf-8").strip()
    with suppress(FileNotFoundError):
        for line in (common / "packed-refs").read_text("utf-8").splitlines():
            commit, _, name = line.partition(" ")
            if name == ref:
                return commit
    return None


def _packages() -> dict[str, str]:
    """The installed packages, by the names of their metadata directories: to parse all takes 0.1 s."""
    packages: dict[str, str] = {}
    for path in reversed(sys.path):  # Python imports from the first
        with suppress(OSError):
            for entry in os.listdir(path or "."):
                stem, suffix = os.path.splitext(entry)
                name, _, version = stem.partition("-")
                if suffix in (".dist-info", ".egg-info") and version:
                    packages[name.replace("_", "-").lower()] = version.partition("-py")[0]
    return dict(sorted(packages.items()))


def _machine() -> dict[str, str]:
    models = [
        line.partition(":")[2].strip()
        for file in sorted(_GPUS.glob("*/information"))
        for line in file.read_text("utf-8", "replace").splitlines()
        if line.startswith("Model:")
    ]
    system = os.uname()  # `platform.platform` can start a program
    machine = {
        "host": socket.gethostname(),
        "system": f"{system.sysname} {system.release} {system.machine}",
        "CPUs": str(os.cpu_count()),
    }
    with suppress(OSError, psutil.Error):  # a system without /proc or a process table
        machine["memory"] = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    return {**machine, "GPUs": ", ".join(models)} if models else machine
