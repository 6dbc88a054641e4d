"""The exit status of a script, and the line of its output that explains it."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from contextlib import suppress

from sweep.script.errors import ScriptCrash, ScriptError
from sweep.script.hints import hint_for

_TRACEBACK = "Traceback (most recent call last):"
_CRASH_SIGNALS = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGKILL, signal.SIGSEGV)
_RANK = re.compile(r"^\[rank\d+\]: ?")
"""The prefix that torch gives to each line of a traceback in a process group."""
_LAUNCHER_ERRORS = ("ChildFailedError", "CalledProcessError")
_CHILD_EXIT = re.compile(r"^ *exitcode *: (?:-(\d+)|\d+) \(pid|died with <Signals\.\w+: (\d+)>", re.MULTILINE)
"""How torchrun and subprocess report the signal, if any, that killed a process. The root cause comes last."""

_AFTER_THE_REASON = ("Pass --helpshort or", "Set the environment variable HYDRA_FULL_ERROR")
"""Lines that absl and Hydra print after an error's message."""


def check_exit_status(status: int, tail: Sequence[str]) -> None:
    """Check that a script has exited with status 0.

    Args:
        status: as `Popen.returncode`: the exit status, or the negative number of the signal that killed it.
        tail: the last lines of its output.

    Raises:
        ScriptCrash: a signal killed it or one of its child processes.
        ScriptError: its exit status is not 0.
    """
    if status == 0:
        return
    output_tail = "\n".join(tail)
    if status < 0:
        raise ScriptCrash(f"killed by {_signal_name(-status)}", _reason(tail), output_tail)
    if status - 128 in _CRASH_SIGNALS:  # a shell's status for a command that a signal killed
        raise ScriptCrash(f"exit status {status} ({_signal_name(status - 128)})", _reason(tail), output_tail)
    children = _CHILD_EXIT.findall(output_tail)
    if children and (number := int("".join(children[-1]) or 0)) in _CRASH_SIGNALS:
        raise ScriptCrash(
            f"exit status {status} (one of its processes was killed by {_signal_name(number)})",
            "",
            output_tail,
        )
    reason = "; ".join(filter(None, [_reason(tail), hint_for(output_tail)]))
    raise ScriptError(f"exit status {status}", reason, output_tail)


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _reason(tail: Sequence[str]) -> str:
    """The first line of the last exception's message, or the last line of the output.

    Exceptions of torchrun and accelerate are skipped: they say only that one of their processes has failed.
    """
    lines = [_RANK.sub("", line) for line in tail]
    traces = [index for index, line in enumerate(lines) if line.strip() == _TRACEBACK]
    candidates = [
        next((line for line in lines[at + 1 :] if line and not line[0].isspace()), None) for at in traces
    ]
    messages = [line for line in candidates if line is not None]
    causes = [line for line in messages if not any(name in line for name in _LAUNCHER_ERRORS)]
    if messages:
        return (causes or messages)[-1]
    lines = [line for line in lines if not line.startswith(_AFTER_THE_REASON)]
    if lines and lines[-1].startswith("╰"):  # the error is the first line in a box of rich (typer, tyro)
        top = max((index for index, line in enumerate(lines) if line.startswith("╭")), default=-1)
        return lines[top + 1].strip("│ ")
    return lines[-1].strip() if lines else ""
