"""The processes of a script: how they begin, and how all of them end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from sweep.script.errors import ScriptError
from sweep.system import processes

_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_GRACE_FOR_REST = 0.5
"""The same for what a script has left behind."""
_GRACE_WHEN_ASKED = 600.0
"""The same if that may still save its state; the engine's own grace ends it before."""


class ScriptProcess:
    """A script that runs, and all that it has started.

    Args:
        directory: the trial's.
        arguments: what to run.
        variables: its environment.
        cwd: where it runs; None for the current directory.
        is_attached: whether it may read from the terminal, and gets its Ctrl-C.

    Raises:
        ScriptError: it cannot be run.
    """

    def __init__(
        self,
        directory: Path,
        arguments: list[str],
        variables: Mapping[str, str],
        cwd: Path | None = None,
        is_attached: bool = False,
    ) -> None:
        self._directory = directory
        try:
            with _held(directory / "output.log") as held:
                self.popen = subprocess.Popen(
                    arguments,
                    env=variables,
                    cwd=cwd,
                    # A worker's own is the sweep's fence. A terminal belongs to the process in front of it:
                    # whoever reads from it out of a session of its own gets an error.
                    stdin=None if held or is_attached else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=not is_attached,
                    pass_fds=held,
                )
        except OSError as error:
            hint = ""
            if error.errno == errno.E2BIG:
                longest = max(arguments, key=len)
                hint = (
                    f": {longest[:30]}... has {len(longest)} characters; "
                    "${args_json_file} passes parameters in a file"
                )
            raise ScriptError(f"{arguments[0]} cannot be run: {error.strerror}{hint}") from None
        except ValueError as error:  # a zero byte
            raise ScriptError(f"{arguments[0]} cannot be run: {error}") from None
        except IndexError:
            raise ScriptError("the command is empty") from None

    def has_ended(self) -> bool:
        """Whether the script has ended; what it has started may still run."""
        return self.popen.poll() is not None

    def wait(self, seconds: float) -> None:
        """Wait for its end, but no longer."""
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(seconds)

    def terminate(self) -> bool:
        """Ask the script itself to end: what it has started it may need to save its state.

        Returns:
            whether it still ran.
        """
        if self.has_ended():
            return False
        self.popen.terminate()
        return True

    def end(self, is_asked: bool = False) -> None:
        """Have it and all that it has started end.

        Args:
            is_asked: whether it was asked to: what a wrapper has left behind may still be saving its state.
        """
        try:
            if not self.has_ended():
                processes.terminate(self._family(), grace=_GRACE)  # one SIGTERM each
        finally:  # also if somebody presses Ctrl-C again
            if not self.has_ended():
                self._signal_group(signal.SIGKILL)
                processes.terminate(self._family())
                self.popen.wait()
            processes.terminate(self._family(), grace=_GRACE_WHEN_ASKED if is_asked else _GRACE_FOR_REST)

    def family(self) -> list[psutil.Process]:
        """The script and its descendants, as far as they can be seen at little cost."""
        with suppress(psutil.Error):
            leader = psutil.Process(self.popen.pid)
            return [leader, *leader.children(recursive=True)]
        return []

    def _family(self) -> list[psutil.Process]:
        found = [*processes.find([self._directory]), *self._group()]
        with suppress(psutil.Error):
            leader = psutil.Process(self.popen.pid)
            if leader.ppid() == os.getpid():  # otherwise it has ended, and its number is another one's
                found += [leader, *leader.children(recursive=True)]
        return list(dict.fromkeys(found))

    def _group(self) -> Iterator[psutil.Process]:
        """Those that can be told by their process group, whatever they have done to their environment."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getpgid(process.pid) == self.popen.pid:
                    yield psutil.Process(process.pid)  # the iterator's may be one that had its number

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, number)


def written_files(family: Iterable[psutil.Process], part: str) -> Iterator[Path]:
    """The files that processes have open for writing, and whose names have `part` in them."""
    for process in family:
        with suppress(OSError, psutil.Error):
            for descriptor in os.listdir(f"/proc/{process.pid}/fd"):
                with suppress(OSError, ValueError, IndexError):
                    path = os.readlink(f"/proc/{process.pid}/fd/{descriptor}")
                    if part not in os.path.basename(path) or path.endswith(" (deleted)"):
                        continue
                    info = Path(f"/proc/{process.pid}/fdinfo/{descriptor}").read_text()
                    if int(info.partition("flags:")[2].split()[0], 8) & os.O_ACCMODE != os.O_RDONLY:
                        yield Path(path)


class _held:
    """The descriptor of a trial's output, if this process prints into it.

    All that a trial starts shall have it: it is locked, so that no other attempt begins beside them, and it
    is how they are found.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._descriptors: tuple[int, ...] = ()

    def __enter__(self) -> tuple[int, ...]:
        with suppress(OSError):
            if os.path.samestat(os.fstat(1), self._output.stat()):
                self._descriptors = (os.dup(1),)
        return self._descriptors

    def __exit__(self, *error: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
