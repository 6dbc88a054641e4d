"""The processes of a script: starting and terminating them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from sweep.script.errors import ScriptError
from sweep.script.executables import why_not_executable
from sweep.system import processes
from sweep.system.directory import TrialDirectory
from sweep.system.ranks import WORKER_RANK

_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_GRACE_FOR_CHILDREN = 0.5
"""The same for processes that a script has left running."""
_GRACE_WHEN_INTERRUPTED = 600.0
"""The same for processes that may still save their state; the engine's own grace is shorter."""


@dataclass(frozen=True)
class Invocation:
    """How a script is started.

    Args:
        arguments: the command line.
        variables: the environment.
        cwd: the working directory; None for the current one.
        is_attached: whether it may read from the terminal and receives its Ctrl-C.
    """

    arguments: list[str]
    variables: Mapping[str, str]
    cwd: Path | None = None
    is_attached: bool = False


class ScriptProcess:
    """A running script and all processes that it has started.

    Args:
        directory: the trial's directory.
        invocation: how it is started.

    Raises:
        ScriptError: it cannot be started.
    """

    def __init__(self, directory: Path, invocation: Invocation) -> None:
        self._directory = directory
        self._rank = invocation.variables.get(WORKER_RANK)
        arguments = invocation.arguments
        try:
            with _output_descriptor(TrialDirectory(directory).output_of(int(self._rank or 0))) as inherited:
                self.popen = subprocess.Popen(
                    arguments,
                    env=invocation.variables,
                    cwd=invocation.cwd,
                    # A worker's stdin is the sweep's fence, which a script inherits. In a terminal, a process
                    # of another session gets an error if it reads.
                    stdin=None if inherited or invocation.is_attached else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=not invocation.is_attached,
                    pass_fds=inherited,
                    preexec_fn=partial(processes.exit_with_parent, os.getpid()),
                )
        except OSError as error:
            hint = ""
            if error.errno == errno.E2BIG:
                longest = max(arguments, key=len)
                hint = (
                    f": {longest[:30]}... has {len(longest)} characters; "
                    "${args_json_file} passes parameters in a file"
                )
            elif error.errno in (errno.ENOENT, errno.ENOEXEC):
                hint = _why_not_executable(invocation)
            raise ScriptError(f"{arguments[0]} cannot be run: {error.strerror}{hint}") from None
        except ValueError as error:  # a null byte
            raise ScriptError(f"{arguments[0]} cannot be run: {error}") from None
        except IndexError:
            raise ScriptError("the command is empty") from None

    def has_exited(self) -> bool:
        """Whether the script has exited; its child processes may still run."""
        return self.popen.poll() is not None

    def wait(self, seconds: float) -> None:
        """Wait until the script has exited, at most this long."""
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(seconds)

    def interrupt(self) -> bool:
        """Send SIGTERM to the script itself; it may need its child processes to save its state.

        Returns:
            whether it was still running.
        """
        if self.has_exited():
            return False
        self.popen.terminate()
        return True

    def terminate_all(self, is_interrupted: bool = False) -> None:
        """Terminate the script and all its processes.

        Args:
            is_interrupted: whether `interrupt` was called: processes that a wrapper script has left running
                may still be saving their state.
        """
        try:
            if not self.has_exited():
                processes.terminate(self._all(), grace=_GRACE)  # one SIGTERM each
        finally:  # also after a second Ctrl-C
            if not self.has_exited():
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.popen.pid, signal.SIGKILL)
                processes.terminate(self._all())
                self.popen.wait()
            processes.terminate(
                self._all(), grace=_GRACE_WHEN_INTERRUPTED if is_interrupted else _GRACE_FOR_CHILDREN
            )

    def descendants(self) -> list[psutil.Process]:
        """The script and its child processes. Cheap, because it does not find detached ones."""
        with suppress(psutil.Error):
            if not self.has_exited():  # otherwise its pid may be reused
                leader = psutil.Process(self.popen.pid)
                return [leader, *leader.children(recursive=True)]
        return []

    def _all(self) -> list[psutil.Process]:
        members = [
            *processes.find([self._directory], group=self.popen.pid, rank=self._rank),
            *self.descendants(),
        ]
        return list(dict.fromkeys(members))


def _why_not_executable(invocation: Invocation) -> str:
    """Why a program could not be started that the system calls missing, or not a program."""
    name, directory = invocation.arguments[0], invocation.cwd or Path.cwd()
    path = invocation.variables.get("PATH", os.defpath)
    found = directory / name if os.sep in name else shutil.which(name, path=path)
    problem = why_not_executable(Path(found), directory, path) if found else ""
    return f": {problem}" if problem else ""


def written_files(family: Iterable[psutil.Process], part: str) -> Iterator[Path]:
    """The files that processes have open for writing, and whose names contain `part`."""
    for process in family:
        with suppress(psutil.Error, OSError):
            paths = map(Path, processes.files_open_for_writing(process))
            yield from (path for path in paths if part in path.name)


@contextmanager
def _output_descriptor(output: Path) -> Iterator[tuple[int, ...]]:
    """The descriptor of the trial's output file, if this process's stdout is redirected to it.

    All processes of a trial inherit it. It is locked, so that no other attempt starts while they run, and
    `processes.find` finds them by it.
    """
    inherited: tuple[int, ...] = ()
    with suppress(OSError):
        if os.path.samestat(os.fstat(1), output.stat()):
            inherited = (os.dup(1),)
    try:
        yield inherited
    finally:
        for descriptor in inherited:
            os.close(descriptor)
